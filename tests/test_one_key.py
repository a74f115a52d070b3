"""Libraries whose reducers send descriptors by the standard library: one key for it and for procession."""

import os
import subprocess
import sys

import pytest

LIMIT_S = 100

# A class as tensors are: its reducer, registered with the standard library, sends the descriptor of its memory.
LIBRARY = """
import os
from multiprocessing import reduction

class Tensor:
    def __init__(self, fd):
        self.fd = fd

    def value(self):
        return os.pread(self.fd, 100, 0)

    def __del__(self, close=os.close):
        close(self.fd)

def tensor(value):
    fd = os.memfd_create("tensor")
    os.write(fd, value)
    return Tensor(fd)

def rebuild(sent):
    return Tensor(sent.detach())

def reduce(tensor):
    return rebuild, (reduction.DupFd(tensor.fd),)

reduction.register(Tensor, reduce)
"""

PROGRAM = """
import sys
if {library_first}:
    import library
{set_key}
import procession
{set_our_key}
def get(tensor):
    return tensor.value()

def make(value):
    import library
    return library.tensor(value)

def send(queue, key):
    import multiprocessing
    import library
    assert multiprocessing.current_process().authkey == procession.current_process().authkey == key
    queue.put(library.tensor(b"sent"))
    queue.close()
    queue.join_thread()
    # The descriptor is asked for by its number here, until it is taken.
    import time, multiprocessing.resource_sharer as sharer
    while sharer._resource_sharer._cache:
        time.sleep(0.001)

def answer(queue, connection, tensor):
    import multiprocessing
    import library
    assert multiprocessing.current_process() is procession.current_process()
    assert multiprocessing.parent_process() is procession.parent_process()
    assert multiprocessing.current_process().authkey == procession.current_process().authkey
    connection.send(tensor)
    connection.send(queue.get())
    for value in (b"new", b"newer"):
        queue.put(library.tensor(value))
    connection.recv()

if __name__ == "__main__":
    context = procession.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        import library
        import multiprocessing
        assert multiprocessing.current_process().authkey == procession.current_process().authkey
        assert pool.map(get, [library.tensor(b"one"), library.tensor(b"two")]) == [b"one", b"two"]
        assert [t.value() for t in pool.imap(make, [b"three", b"four"])] == [b"three", b"four"]
        assert pool.apply_async(get, (library.tensor(b"five"),)).get() == b"five"
    with procession.futures.ProcessPoolExecutor(1, mp_context=context) as executor:
        assert executor.submit(make, b"six").result().value() == b"six"
    here, there = context.Pipe()
    queue = context.Queue()
    queue.put(library.tensor(b"queued"))
    child = context.Process(target=answer, args=(queue, there, library.tensor(b"argument")))
    child.start()
    assert [here.recv().value() for _ in range(2)] == [b"argument", b"queued"]
    assert [queue.get().value() for _ in range(2)] == [b"new", b"newer"]
    here.send(None)
    child.join()
    assert child.exitcode == 0, child.exitcode
    # Children of the standard library's have it, too.
    theirs = multiprocessing.get_context(sys.argv[1])
    queue = theirs.Queue()
    child = theirs.Process(target=send, args=(queue, procession.current_process().authkey))
    child.start()
    assert queue.get().value() == b"sent"
    child.join()
    assert child.exitcode == 0, child.exitcode
    print("done")
"""

THEIRS = 'import multiprocessing; multiprocessing.current_process().authkey = b"theirs"'
OURS = 'procession.current_process().authkey = b"ours"'


CASES = {
    "library first": (True, "", ""),
    "library later": (False, "", ""),
    "its key is set": (True, THEIRS, ""),
    "our key is set": (True, "", OURS),
    "our key is set, library later": (False, "", OURS),
}
# Children that are no copies are told the key; those of a server, once it runs.
CELLS = [("fork", case) for case in CASES]
CELLS += [
    (method, case) for method in ("spawn", "forkserver") for case in ("its key is set", "our key is set, library later")
]


@pytest.mark.parametrize("method, case", CELLS)
def test_what_is_sent_by_the_standard_library_arrives(tmp_path, method, case):
    library_first, set_key, set_our_key = CASES[case]
    (tmp_path / "library.py").write_text(LIBRARY)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(library_first=library_first, set_key=set_key, set_our_key=set_our_key))
    # The standard library serves descriptors from a thread, which a fork is warned of.
    ignored = "ignore:a process is forked while other threads run"
    done = subprocess.run(
        [sys.executable, "-W", ignored, program, method],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


def test_the_module_of_the_standard_library_is_found_as_ever():
    program = """
import sys
import procession
import multiprocessing.process as found
assert found.__spec__.loader is found.__loader__ and type(found.__loader__).__module__ != "procession._standard"
assert not any("procession" in str(finder) for finder in sys.meta_path)
import inspect
assert "def current_process" in inspect.getsource(found)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=LIMIT_S)
