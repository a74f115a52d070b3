"""Starting, watching and ending processes, and what each knows of the others."""

import os
import signal
import sys
import time
from multiprocessing import Process, active_children, current_process, parent_process, set_start_method


def greet(name):
    print("hello", name, flush=True)
    assert parent_process().pid == os.getppid() or sys.argv[1] == "forkserver"
    assert current_process().name == "greeter"


class Counter(Process):
    def __init__(self, count):
        super().__init__()
        self.count = count

    def run(self):
        print("counted", sum(range(self.count)), flush=True)
        sys.exit(3)


if __name__ == "__main__":
    set_start_method(sys.argv[1])
    p = Process(target=greet, args=("bob",), name="greeter")
    p.start()
    p.join()
    print(p.exitcode, p.is_alive(), parent_process())

    c = Counter(5)
    c.start()
    c.join()
    print("status", c.exitcode)

    p = Process(target=time.sleep, args=(1000,))
    print(p.is_alive())
    p.start()
    print(p.is_alive(), active_children() == [p])
    p.terminate()
    p.join()
    print(p.is_alive(), p.exitcode == -signal.SIGTERM)
    p.close()

# prints:
# hello bob
# 0 False None
# counted 10
# status 3
# False
# True True
# False True
