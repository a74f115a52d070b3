"""Functions for the tests of maps that nobody waits for any more."""

import os
import threading
import time

HOURS = 3600


def square(number):
    return number * number


def note(folder, text):
    """Leave a note, complete or not at all, with what was done before still in place."""
    open(os.path.join(folder, f"{text}-{os.getpid()}-{time.monotonic_ns()}"), "x").close()


def interrupt_once(parent, number, folder):
    """Send the parent a signal, if no other task has."""
    try:
        open(os.path.join(folder, "interrupted"), "x").close()
    except FileExistsError:
        return
    os.kill(parent, number)


def tell_and_sleep(task):
    """Note that the task runs, have the parent interrupted, and sleep."""
    note(task[2], "begun")
    interrupt_once(*task)
    time.sleep(HOURS)


def tell_and_stay(task):
    """The same, by a task that does not give up."""
    note(task[2], "begun")
    interrupt_once(*task)
    while True:
        try:
            time.sleep(HOURS)
        except BaseException:
            pass


def tell_and_sleep_of(parent, number, folder):
    tell_and_sleep((parent, number, folder))


def note_and_sleep(folder):
    """Note that the task runs, and sleep; note when it is ended by an exception."""
    try:
        note(folder, "begun")
        time.sleep(HOURS)
    finally:
        note(folder, "ended")


def leave_thread(kind):
    """Return while a thread goes on for ever."""
    stay = threading.Event().wait
    if kind == "thread":
        threading.Thread(target=stay, name="endless").start()
    elif kind == "timer":
        timer = threading.Timer(HOURS, print)
        timer.name = "endless"
        timer.start()
    elif kind == "executor":
        from concurrent.futures import ThreadPoolExecutor

        ThreadPoolExecutor(1, thread_name_prefix="endless").submit(stay)
    elif kind == "thread of a thread":
        maker = threading.Thread(target=threading.Thread(target=stay, name="endless").start)
        maker.start()
        maker.join()
    return kind


def wait_for_executor(number):
    """Leave an executor whose threads end when they are told at the end of the process."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1).submit(square, number).result()
