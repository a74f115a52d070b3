"""One large array that tasks share: by the pool's own `share`, else in a named block of shared memory."""

from benches.workload import Workload, main, seconds

ROW = Workload("200 tasks read a shared array of 16 MiB", "ms", higher_is_better=False, whole=True)
ARRAY_BYTES = 16 << 20
TASKS = 200


def look(array, index):
    """A task that hardly reads its array."""
    return int(array[index])


def look_by_name(name, index):
    """The same for an array in a named block."""
    from multiprocessing import shared_memory

    import numpy

    memory = shared_memory.SharedMemory(name)
    array = numpy.ndarray(ARRAY_BYTES, numpy.uint8, memory.buf)
    found = int(array[index])
    del array
    memory.close()
    return found


def measure(library):
    """Milliseconds."""
    import numpy

    array = numpy.full(ARRAY_BYTES, 7, numpy.uint8)
    with library.warm_pool() as pool:
        if hasattr(pool, "share"):
            shared = pool.share(array)
            return seconds(pool.starmap, look, [(shared, index) for index in range(TASKS)], 1) * 1e3
        from multiprocessing import shared_memory

        memory = shared_memory.SharedMemory(create=True, size=ARRAY_BYTES)
        try:
            memory.buf[:] = array.tobytes()
            return seconds(pool.starmap, look_by_name, [(memory.name, index) for index in range(TASKS)], 1) * 1e3
        finally:
            memory.close()
            memory.unlink()


if __name__ == "__main__":
    main(ROW, measure)
