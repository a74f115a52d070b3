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
