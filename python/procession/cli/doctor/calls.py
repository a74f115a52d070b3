"""Whether the kernel, or a sandbox in front of it, answers the system calls that pools are made of."""

import ctypes
import errno
import os
import platform

from procession.cli.doctor.finding import FAILS, KNOW

__all__ = ["CALLS", "answers"]

# For each call: how bad it is without, what follows, its number on x86_64 and aarch64, and arguments that do no harm.
CALLS = {
    "eventfd2": (FAILS, "no pool can be made", (290, 19, (0, 0))),
    "epoll_create1": (FAILS, "no pool can be made", (291, 20, (0,))),
    "memfd_create": (
        KNOW,
        "shared memory lies in files, and `procession top` does not find the pools",
        (319, 279, (b"doctor", 1)),
    ),
    "pidfd_open": (
        KNOW,
        "children are waited for by their numbers, which may be another's by then",
        (434, 434, ("pid", 0)),
    ),
}
_REFUSALS = (errno.ENOSYS, errno.EPERM, errno.EACCES)


def answers(name: str) -> bool:
    """Return whether the kernel answers a call of `CALLS`; where its number is not known here, that it does."""
    on_x86, on_arm, arguments = CALLS[name][2]
    number = {"x86_64": on_x86, "aarch64": on_arm}.get(platform.machine())
    if number is None:
        return True
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    words: list = [os.getpid() if word == "pid" else word for word in arguments]
    descriptor = call(
        ctypes.c_long(number), *(word if isinstance(word, bytes) else ctypes.c_long(word) for word in words)
    )
    if descriptor >= 0:
        os.close(descriptor)
        return True
    return ctypes.get_errno() not in _REFUSALS
