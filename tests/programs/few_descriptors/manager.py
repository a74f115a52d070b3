"""Takes all descriptors away within a manager's server: each call works, or says what is lacking, and none waits."""

import os
import resource
import sys
import threading

import procession
from procession.managers import SyncManager

LIMIT = 30


class Thief:
    """Lives in the server, and takes its descriptors."""

    def __init__(self):
        self.held = []

    def take(self, spare):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 200), hard))
        try:
            while True:
                self.held.append(os.dup(0))
        except OSError:
            pass
        for _ in range(spare):
            os.close(self.held.pop())
        return len(self.held)

    def give_back(self):
        while self.held:
            os.close(self.held.pop())


class Manager(SyncManager):
    """With a thief."""


Manager.register("Thief", Thief)


def outcome(call):
    """Return "ok" or the name of an error; "hangs" where neither comes in time."""
    told = []

    def run():
        try:
            call()
            told.append("ok")
        except BaseException as error:
            told.append(f"{type(error).__name__}: {error}".splitlines()[0])

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LIMIT)
    return told[0] if told else "hangs"


def in_child(ctx, shared):
    child = ctx.Process(target=shared.append, args=(2,))
    child.start()
    child.join(LIMIT)
    if child.exitcode is None:
        child.kill()
        raise TimeoutError("hangs")
    if child.exitcode:
        raise ChildProcessError(f"exit code {child.exitcode}")


def main(method):
    ctx = procession.get_context(method)
    with Manager(ctx=ctx) as manager:
        thief, shared = manager.Thief(), manager.list()
        shared.append(1)
        assert thief.take(0) > 0
        calls = {
            "call": lambda: shared.append(0),
            "object": manager.dict,
            "lock": lambda: manager.Lock().acquire(timeout=1),
            "queue": lambda: manager.Queue().get(True, 0.1),
            "child": lambda: in_child(ctx, shared),
            "another": lambda: manager._links.greet(manager._authkey),
        }
        for name, call in calls.items():
            print(f"{name}: {outcome(call)}", flush=True)
        thief.give_back()
        for name, call in calls.items():
            print(f"{name} again: {outcome(call)}", flush=True)
        assert 1 in list(shared)


if __name__ == "__main__":
    main(*sys.argv[1:])
