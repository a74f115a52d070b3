import threading
from collections.abc import Callable, Iterable
from typing import Any

from procession.pool import Pool

TERMINATED_JOIN_LIMIT_S: float
LOOK_AROUND_S: float

class ThreadPool(Pool):
    _pool: list[threading.Thread]
    def __init__(
        self,
        processes: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Iterable[Any] = (),
    ) -> None: ...
