from procession.context import ProcessError, TimeoutError

__all__ = ["MaybeEncodingError", "OverMemory", "PoolTerminated", "RemoteTraceback", "TaskTimeout", "WorkerDied"]

class RemoteTraceback(Exception):
    tb: str
    def __init__(self, tb: str) -> None: ...

class MaybeEncodingError(Exception):
    exc: str
    value: str
    raised: bool
    def __init__(self, exc: object, value: object, raised: bool = False) -> None: ...

class WorkerDied(ProcessError): ...

class OverMemory(WorkerDied):
    peak: int
    limit: int
    function: str
    index: int

class TaskTimeout(TimeoutError): ...
class PoolTerminated(ProcessError): ...

def failure(error: BaseException) -> bytes: ...
def unsendable(error: BaseException, value: object) -> bytes: ...
def rebuild(sent: bytes) -> BaseException: ...
