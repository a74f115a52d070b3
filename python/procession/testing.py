"""For tests of programs with processes: what a block leaves fails it; workers die, wait or lack memory when asked.

Everything here is a context manager that works without pytest; with it there are fixtures of the same names.
"""

from procession._testing.faults import Fault, full_memory, kill_worker_at, slow_worker
from procession._testing.left import Left, nothing_left

__all__ = ["Fault", "Left", "full_memory", "kill_worker_at", "nothing_left", "slow_worker"]

for _name in __all__:
    globals()[_name].__module__ = __name__
