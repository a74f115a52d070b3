"""What workers do at the beginning and end of their lives."""

import os

from procession import current_worker


def begin(directory):
    state = current_worker().state
    state.directory, state.done = directory, 0


def work(_):
    worker = current_worker()
    worker.state.done += 1
    assert current_worker() is worker
    return worker.index


def end():
    worker = current_worker()
    with open(os.path.join(worker.state.directory, "ends"), "a") as file:
        print(worker.index, worker.state.done, file=file)


def end_badly():
    raise OSError("the end")
