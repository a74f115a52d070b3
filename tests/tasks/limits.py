"""What workers run in `test_limits.py`: a small module, as each of many replacements imports it."""

import os
import signal
import threading
import time

MB = 1 << 20


def square(x):
    return x * x


def hoard_at_three(x):
    if x == 3:
        kept = b"x" * (400 * MB)
        time.sleep(60)
        return len(kept)
    return x


def keep(size):
    globals().setdefault("kept", []).append(b"x" * size)
    return os.getpid()


def pid(_):
    return os.getpid()


def nap(seconds):
    time.sleep(seconds)
    return os.getpid()


def alone(path):
    """Fails when it runs twice at once."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    time.sleep(0.005)
    os.unlink(path)
    return os.getpid()


def die(_):
    os.kill(os.getpid(), signal.SIGKILL)


def count_and_exit(folder):
    open(os.path.join(folder, f"{os.getpid()}"), "w").close()
    os._exit(3)


def count_and_die_soon(folder):
    """The worker becomes ready and dies without a task."""
    open(os.path.join(folder, f"{os.getpid()}"), "w").close()
    threading.Thread(target=os._exit, args=(3,), daemon=True).start()
    time.sleep(0.01)


def wait_for_file(path):
    while not os.path.exists(path):
        time.sleep(0.005)


def stuck_in_c(path):
    open(path, "w").close()
    return sum(range(10**12))  # keeps the interpreter to itself


def own_group(base):
    """The folder in `base` of the control group that this process is in."""
    groups = [base / name for name in os.listdir(base) if name.startswith("procession-")]
    (own,) = [group for group in groups if (group / "cgroup.procs").exists() and is_in(group, os.getpid())]
    return own


def is_in(group, pid):
    return str(pid) in (group / "cgroup.procs").read_text().split()


class RebuiltIn:
    """Tells in which group it was rebuilt."""

    def __init__(self, base):
        self.base = base

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.group = own_group(self.base)


def note_group(rebuilt):
    """Also where `rebuilt` crossed by fork, not by pickle."""
    globals()["noted"] = getattr(rebuilt, "group", None) or own_group(rebuilt.base)


def group_with_limit(_):
    return noted.name, (noted / "memory.max").read_text()  # noqa: F821


def use_up_at_three(base, x):
    """At 3, does what the kernel does when the memory of a group is used up."""
    if x == 3:
        group = own_group(base)
        (group / "memory.peak").write_text("2000003456\n")
        (group / "memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 1\n")
        os.kill(os.getpid(), signal.SIGKILL)
    return x
