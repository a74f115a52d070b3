"""Values, arrays and structures in shared memory."""

import sys
from ctypes import Structure, c_double
from multiprocessing import Array, Lock, Process, Value, set_start_method


class Point(Structure):
    _fields_ = [("x", c_double), ("y", c_double)]


def negate(number, numbers):
    number.value = 3.1415927
    for i in range(len(numbers)):
        numbers[i] = -numbers[i]


def square(n, x, text, points):
    n.value **= 2
    x.value **= 2
    text.value = text.value.upper()
    for point in points:
        point.x **= 2
        point.y **= 2


def add(counter):
    for _ in range(100):
        with counter.get_lock():
            counter.value += 1


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    number, numbers = Value("d", 0.0), Array("i", range(10))
    p = Process(target=negate, args=(number, numbers))
    p.start()
    p.join()
    print(number.value)
    print(numbers[:])

    lock = Lock()
    n, x = Value("i", 7), Value(c_double, 1.0 / 4.0, lock=False)
    text = Array("c", b"hello world", lock=lock)
    points = Array(Point, [(1.5, -6.25), (-5.75, 2.0)], lock=lock)
    p = Process(target=square, args=(n, x, text, points))
    p.start()
    p.join()
    print(n.value, x.value, text.value)
    print([(a.x, a.y) for a in points])

    counter = Value("i", 0)
    children = [Process(target=add, args=(counter,)) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    print(counter.value)

# prints:
# 3.1415927
# [0, -1, -2, -3, -4, -5, -6, -7, -8, -9]
# 49 0.0625 b'HELLO WORLD'
# [(2.25, 39.0625), (33.0625, 4.0)]
# 300
