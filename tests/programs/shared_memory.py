"""Named shared memory, lists in it, and the manager that removes what was made."""

import sys
from multiprocessing import Process, set_start_method
from multiprocessing.managers import SharedMemoryManager
from multiprocessing.shared_memory import ShareableList, SharedMemory


def change(name):
    segment = SharedMemory(name=name)
    segment.buf[:5] = b"howdy"
    segment.close()


def double(numbers, start, stop):
    for i in range(start, stop):
        numbers[i] *= 2


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    segment = SharedMemory(create=True, size=10)
    segment.buf[:4] = bytearray([22, 33, 44, 55])
    p = Process(target=change, args=(segment.name,))
    p.start()
    p.join()
    print(segment.size >= 10, bytes(segment.buf[:5]))
    segment.close()
    segment.unlink()
    try:
        SharedMemory(name=segment.name)
    except FileNotFoundError:
        print("gone")

    a = ShareableList(["howdy", b"HoWdY", -273.154, 100, None, True, 42])
    a[2], a[3] = -78.5, "short"
    b = ShareableList(name=a.shm.name)
    print(list(b), len(b), b.index(42), b.count(b"HoWdY"))
    b.shm.close()
    a.shm.close()
    a.shm.unlink()

    with SharedMemoryManager() as manager:
        numbers = manager.ShareableList(range(20))
        children = [Process(target=double, args=(numbers, start, start + 10)) for start in (0, 10)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        print(sum(numbers))
        segment = manager.SharedMemory(64)
        segment.buf[0] = 1

# prints:
# True b'howdy'
# gone
# ['howdy', b'HoWdY', -78.5, 'short', None, True, 42] 7 6 1
# 380
