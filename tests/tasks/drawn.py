"""Programs whose progress is drawn, for a terminal: `python drawn.py NAME KIND`."""

import contextlib
import logging
import os
import select
import signal
import sys
import time

import procession
from procession import current_task


def work(number):
    return number


def await_look():
    """Wait until the test has seen what it waits for, which then makes a file."""
    end = time.monotonic() + 60
    while not os.path.exists(os.environ["SEEN"]) and time.monotonic() < end:
        time.sleep(0.005)


def stay(number):
    await_look()
    return number


def odd(number):
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number


def steps(number):
    """Say how far it is, twenty times; where it is the program, the first time until that was seen."""
    task = current_task()
    for step in range(20):
        task.progress(step, 20, f"step {step}")
        time.sleep(0.02)
        if sys.argv[1] == "steps":
            await_look()
    return number


def speak(number):
    """Print in all ways: whole lines, halves, by other programs, records of a log."""
    print(f"line {number} to stdout")
    print(f"line {number} ", end="")
    time.sleep(0.05)
    print("in halves", file=sys.stderr if number % 2 else sys.stdout)
    os.system(f"echo line {number} of a program")
    logging.getLogger("drawn").warning("record %s", number)
    return number


def bars(number):
    """Write over its own line again and again, as a bar does."""
    for part in range(10):
        sys.stderr.write(f"\rpart {part} of {number}")
        sys.stderr.flush()
        time.sleep(0.03)
        await_look()
    sys.stderr.write(f"\rparts of {number} done\n")
    return number


def die(number):
    if number == 3:
        print("last words")
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return number


def flood(number):
    """Print more than a pipe holds."""
    for part in range(800):
        print(f"{number} {part}".ljust(99))
    return number


def outlive(terminal):
    """Wait until nobody has the other side of a terminal any more, and print."""
    with contextlib.suppress(OSError):  # that is so already
        hung_up = select.poll()
        hung_up.register(os.open(terminal, os.O_RDWR | os.O_NOCTTY), 0)
        hung_up.poll(60_000)
    print("nobody sees it")
    return terminal


def inner(number):
    """A map within a task: nobody sees that one."""
    with procession.Pool(1) as pool:
        return sum(pool.map(work, range(number), progress=True))


def main(name, kind):
    wish = {"True": True}.get(kind, kind)
    with procession.Pool(2) as pool:
        if name == "nested":
            for _ in pool.imap(steps, range(4), progress=wish):
                with procession.Pool(1, crew="threads") as other:
                    other.map(stay, range(4), progress=wish)
            print(pool.map(len, ["a", "bc"], progress=wish))
        elif name == "die":
            print("before")
            try:
                pool.map(die, range(8), chunksize=1, progress=wish)
            except procession.pool.WorkerDied:
                print("it died")
        elif name == "flood":
            results = pool.map_async(flood, range(2), chunksize=1, progress=wish)
            results.wait(0.3)
            pool.close()
            pool.join()  # nobody waits for the map any more, and nobody draws
            print(results.get())
        elif name == "interrupted":
            try:
                pool.map(time.sleep, [60] * 4, progress=wish)
            except KeyboardInterrupt:
                print("interrupted")
        elif name == "outlive":
            items = [os.ttyname(0)] * 8
            sys.exit(pool.map(outlive, items, chunksize=1, progress=wish) != items)
        elif name == "calls":
            logging.basicConfig(level=logging.WARNING, format="%(message)s")
            for number in pool.imap(speak, range(6), progress=wish):
                print(f"got {number}")
                logging.warning("own record %s", number)
        else:
            print(sorted(pool.map(globals()[name], range(8), chunksize=1, progress=wish)))
    print("after")


if __name__ == "__main__":
    main(*sys.argv[1:])
