"""Functions that children run in tests of signals."""

import _thread
import os
import signal
import threading
import time

LIMIT = 60


def await_signal(connection):
    """Tell what is blocked, then wait for SIGUSR1 by `sigwait`."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    connection.send(sorted(blocked))
    connection.send(signal.sigtimedwait([signal.SIGUSR1], LIMIT) is not None)


def blocked(_=None):
    """Return the signals that the main thread blocks."""
    return sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))


def slow(number):
    """Take a moment."""
    time.sleep(0.05)
    return number


def say_and_stay(connection):
    """Tell that this process is there, then stay."""
    connection.send(os.getpid())
    time.sleep(LIMIT)


def say_and_spin(path):
    """Tell that this process is there in a file, then take a while; return how the waiting ended."""
    with open(path, "w") as file:
        file.write(f"{os.getpid()}\n")
    end = time.monotonic() + LIMIT
    while time.monotonic() < end and not os.path.exists(path + ".end"):
        time.sleep(0.01)
    return "went on"


def end_oneself(_=None):
    """Send SIGTERM to this process."""
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LIMIT)


def fork_and_end(_=None):
    """Fork, end the fork with SIGTERM, and return how it ended."""
    pid = os.fork()
    if pid == 0:
        time.sleep(LIMIT)
        os._exit(0)
    os.kill(pid, signal.SIGTERM)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


OWN_INTERRUPTS = ("raise_signal", "kill", "pthread_kill", "interrupt_main", "a timer")


def interrupt_oneself(how):
    """Interrupt the task that this is, one of `OWN_INTERRUPTS`; return whether it has learned of it."""
    try:
        if how == "raise_signal":
            signal.raise_signal(signal.SIGINT)
        elif how == "kill":
            os.kill(os.getpid(), signal.SIGINT)
        elif how == "pthread_kill":
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        elif how == "interrupt_main":
            _thread.interrupt_main()
        else:
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT)).start()
        time.sleep(LIMIT)
    except KeyboardInterrupt:
        return True
    return False


def be_interrupted(_=None):
    """Let the interrupt of this process's own come out of the task."""
    signal.raise_signal(signal.SIGINT)
    time.sleep(LIMIT)


def set_and_restore_a_handler(_=None):
    """Ignore SIGINT for a moment, as libraries do."""
    signal.signal(signal.SIGINT, signal.signal(signal.SIGINT, signal.SIG_IGN))
