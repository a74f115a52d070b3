from typing import Any

__all__ = ["ProcessionBackend", "register"]

ProcessionBackend: Any

def register() -> None: ...
def stand_in() -> None: ...
