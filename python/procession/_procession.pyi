"""The compiled half of procession: what the binding crate exports."""

__version__: str

def spawn_process(
    program: bytes,
    arguments: list[bytes],
    environment: list[bytes],
    descriptors: list[int],
    blocked: list[int],
) -> int: ...
def hold_lifeline(parent: int, grace_ms: int) -> None: ...
