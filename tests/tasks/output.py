"""What workers run in `test_captured_output.py`."""

import ctypes
import os
import signal
import subprocess
import sys
import time

libc = ctypes.CDLL(None)


def say(number):
    print("line one of", number)
    print("part", end=" ")
    print("and rest", file=sys.stdout)
    print("complaint", number, file=sys.stderr)
    return number


def speak_every_way(number):
    os.write(1, b"by descriptor\n")
    libc.printf(b"by printf %d\n", number)
    libc.printf(b"without an end")
    libc.fflush(None)
    subprocess.run([sys.executable, "-c", "print('by a program')"], check=True)
    sys.stdout.buffer.write(b"bytes \xff\xc3\xa4 not all text\n")
    return number


def unfinished(number):
    print("no end", number, end="")
    return number


def speak_and_die(number):
    print("last words of", number)
    print("and half a", end="")
    os.kill(os.getpid(), signal.SIGKILL)


def printf_and_die(number):
    libc.printf(b"printf before the end\n")
    os.abort()


def flood(count):
    for number in range(count):
        print(number, "x" * 80)
    return count


def one_long_line(size):
    print("y\u00e4" * size)
    return size


def close_and_say(number):
    sys.stdout.close()
    os.close(2)
    return number


def greet():
    print("hello from the initializer")


def fork_in_task(number):
    child = os.fork()
    if child == 0:
        print("from a child")
        os._exit(0)
    os.waitpid(child, 0)
    print("from its parent")
    return number


def begin_and_wait(path):
    print("begun")
    while not os.path.exists(path):
        time.sleep(0.005)
