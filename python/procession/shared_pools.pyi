from procession.context import BaseContext
from procession.pool import Pool

__all__ = ["SharedPool", "end_shared_pools", "shared_pool"]

class SharedPool(Pool):
    def __init__(self, behind: Pool) -> None: ...

def shared_pool(processes: int | None = None, *, context: BaseContext | None = None) -> SharedPool: ...
def end_shared_pools() -> None: ...
