"""A loader of batches as in machine learning: queues of indices to workers, one queue of results back."""

import multiprocessing as python_multiprocessing
import os
import queue
import random
import sys
from multiprocessing import *  # noqa: F403  (as such libraries do)
from multiprocessing.connection import wait
from multiprocessing.reduction import ForkingPickler
from multiprocessing.util import register_after_fork


class Tensor:
    def __init__(self, numbers):
        self.numbers = numbers


def rebuild(numbers):
    return Tensor(list(numbers))


class Registry:
    def __init__(self):
        self.known = {"before": 1}
        register_after_fork(self, lambda registry: registry.known.clear())


registry = Registry()
ForkingPickler.register(Tensor, lambda tensor: (rebuild, (tuple(tensor.numbers),)))


def work(dataset, indices, results, done, parent):
    watched = os.getppid()
    while os.getppid() == watched:
        try:
            batch = indices.get(timeout=5.0)
        except queue.Empty:
            continue
        if batch is None or done.is_set():
            break
        results.put((batch[0], Tensor([dataset[i] for i in batch[1]])))
    results.cancel_join_thread()
    results.close()


class Loader:
    def __init__(self, dataset, size, workers, context):
        if isinstance(context, str):
            assert context in python_multiprocessing.get_all_start_methods()
            context = python_multiprocessing.get_context(context)
        assert isinstance(context, python_multiprocessing.context.BaseContext)
        self.batches = [
            (n, range(at, min(at + size, len(dataset)))) for n, at in enumerate(range(0, len(dataset), size))
        ]
        self.results, self.done = context.Queue(), context.Event()
        self.workers, self.queues = [], []
        for _ in range(workers):
            indices = context.Queue()
            indices.cancel_join_thread()
            arguments = (dataset, indices, self.results, self.done, os.getpid())
            worker = context.Process(target=work, args=arguments)
            worker.daemon = True
            worker.start()
            self.workers.append(worker)
            self.queues.append(indices)

    def __iter__(self):
        for number, batch in self.batches:
            self.queues[number % len(self.queues)].put((number, batch))
        early = {}
        for number, _ in self.batches:
            while number not in early:
                at, tensor = self.results.get(timeout=60)
                assert all(worker.is_alive() for worker in self.workers)
                early[at] = tensor
            yield early.pop(number).numbers

    def close(self):
        self.done.set()
        for indices in self.queues:
            indices.put(None)
        for worker, indices in zip(self.workers, self.queues, strict=True):
            worker.join(timeout=60)
            indices.close()
        ended = wait([worker.sentinel for worker in self.workers], 0)
        return len(ended), [worker.exitcode for worker in self.workers]


if __name__ == "__main__":
    random.seed(1)
    loader = Loader([n * n for n in range(10)], 3, 2, sys.argv[1])
    for numbers in loader:
        print(numbers)
    print(loader.close())
    print(registry.known, cpu_count() > 0)  # noqa: F405

# prints:
# [0, 1, 4]
# [9, 16, 25]
# [36, 49, 64]
# [81]
# (2, [0, 0])
# {'before': 1} True
