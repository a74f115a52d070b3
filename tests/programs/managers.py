"""Shared objects in a manager: containers, nested ones, a namespace, locks, and what proxies are."""

import sys
from multiprocessing import Manager, Process, set_start_method


def change(table, numbers, space, lock):
    with lock:
        table[1] = "1"
        table["2"] = 2
        table[0.25] = None
        numbers.reverse()
        space.y = "from the child"


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    with Manager() as manager:
        table, numbers, space = manager.dict(), manager.list(range(10)), manager.Namespace()
        space.x, space._z = 10, 12.3
        lock = manager.Lock()
        p = Process(target=change, args=(table, numbers, space, lock))
        p.start()
        p.join()
        print(table)
        print(numbers)
        print(space)

        squares = manager.list([i * i for i in range(10)])
        print(squares[4], squares[2:5], squares == [i * i for i in range(10)], squares._getvalue() == list(squares))

        a, b = manager.list(), manager.list()
        a.append(b)
        b.append("hello")
        print(str(a[0]), str(b))
        outer = manager.list([manager.dict() for _ in range(2)])
        outer[0]["a"], outer[1]["c"] = 1, 2
        print([dict(inner) for inner in outer])

        plain = manager.list([{}])
        copy = plain[0]
        copy["a"] = 1
        print(plain[0])
        plain[0] = copy
        print(plain[0])

        value, array, queue = manager.Value("i", 1), manager.Array("i", [1, 2]), manager.Queue(1)
        value.value, array[0] = 5, 7
        queue.put("item")
        print(value.value, list(array), queue.get(), queue.empty())
        event, barrier = manager.Event(), manager.Barrier(1)
        event.set()
        print(event.wait(1), barrier.wait(), event.is_set())
        with manager.Pool(1) as pool:
            print(pool.map(abs, [-1, -2]))

# prints:
# {1: '1', '2': 2, 0.25: None}
# [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
# Namespace(x=10, y='from the child')
# 16 [4, 9, 16] False True
# ['hello'] ['hello']
# [{'a': 1}, {'c': 2}]
# {}
# {'a': 1}
# 5 [7, 2] item True
# True 0 True
# [1, 2]
