"""A temporary directory with a name so long that no socket's path fits into it."""

import os
import subprocess
import sys

import pytest
from procession import util

LIMIT_S = 60
PROGRAM = """
import os, sys, tempfile
import procession
from procession.connection import Client, Listener

def double(connection, numbers):
    connection.send([2 * number for number in numbers])

if __name__ == "__main__":
    assert tempfile.gettempdir() == os.environ["TMPDIR"]
    context = procession.get_context(sys.argv[1])
    with context.Manager() as manager, context.Pool(1) as pool:
        shared = manager.list([1, 2])
        pool.apply(shared.append, (3,))
        reading, writing = context.Pipe(False)
        child = context.Process(target=double, args=(writing, shared))
        child.start()
        print(reading.recv())
        child.join()
    with Listener(family="AF_UNIX") as listener, Client(listener.address) as client:
        with listener.accept() as accepted:
            accepted.send("hello")
        print(client.recv())
"""


@pytest.mark.parametrize("length", [80, 95, 180])
def test_managers_and_listeners_work_in_a_long_temporary_directory(context, length, tmp_path):
    folder = str(tmp_path).rstrip("/")
    while len(folder) < length:
        folder += "/" + "d" * min(max(length - len(folder) - 1, 1), 100)
    os.makedirs(folder)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, program, context.get_start_method()],
        env={**os.environ, "TMPDIR": folder},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
    )
    assert (done.stdout, done.stderr) == ("[2, 4, 6]\nhello\n", "")


def test_no_directory_for_sockets_is_an_error_that_says_so(monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(OSError, match="set TMPDIR to a directory with a shorter name"):
        util._short_directory("/x" * 60)
    assert util._short_directory("/tmp/short") == "/tmp/short"
