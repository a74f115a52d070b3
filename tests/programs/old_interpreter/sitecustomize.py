"""Takes away what an interpreter lacks that was built against an old C library, before anything else is imported."""

import _signal
import fcntl
import os
import posix
import select
import signal
import socket

# An interpreter has these where the headers had them when it was built, whatever the kernel knows.
GONE = (
    "pidfd_",
    "memfd_",
    "MFD_",
    "eventfd",
    "EFD_",
    "P_PIDFD",
    "PIDFD_",
    "CLD_",
    "waitid",
    "posix_fallocate",
    "sched_",
    "process_cpu_count",
    "preadv",
    "pwritev",
    "copy_file_range",
    "getrandom",
    "posix_spawn",
    "timerfd_",
    "unshare",
    "setns",
    "F_SEAL_",
    "F_ADD_SEALS",
    "F_GET_SEALS",
    "F_DUPFD_CLOEXEC",
    "epoll",
    "EPOLL",
    "send_fds",
    "recv_fds",
)

for module in (os, posix, signal, _signal, fcntl, select, socket):
    for name in dir(module):
        if name.startswith(GONE):
            delattr(module, name)
