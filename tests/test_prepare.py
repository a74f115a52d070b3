"""A forkserver that begins in the background, before the first child is asked for."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import procession
import pytest
from procession._children import main_imports

LATE = """
import os
with open(os.path.join(os.path.dirname(__file__), "imported"), "a") as file:
    file.write(f"{os.getpid()}\\n")
"""


def run(directory, program, **environment):
    """Run a program beside a module that notes where it is imported; return its output and who imported that."""
    (directory / "late_module.py").write_text(LATE)
    (directory / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, directory / "program.py"],
        capture_output=True, text=True, timeout=60, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    noted = directory / "imported"
    return done.stdout.split(), noted.read_text().split() if noted.exists() else []


def test_the_server_imports_what_the_main_module_imports_once_and_serves_the_first_child(tmp_path):
    out, imported = run(
        tmp_path,
        """
import procession

procession.prepare()
procession.prepare()  # does nothing
import late_module
import os

def where(_):
    return os.getppid(), "late_module" in __import__("sys").modules

if __name__ == "__main__":
    from procession.forkserver import _forkserver
    server = _forkserver._forkserver_pid
    print(os.getpid(), server)
    with procession.get_context("forkserver").Pool(1) as pool:
        assert pool.apply(where, (0,)) == (server, True)
""",
    )
    assert sorted(imported) == sorted(out)


def test_the_program_is_told_as_it_is_when_the_first_child_is_started(tmp_path):
    out, _ = run(
        tmp_path,
        """
import procession
procession.prepare()
import os, sys

os.environ["LATE"] = "yes"
os.chdir("/")
sys.path.append("/late")

def known():
    print(os.environ["LATE"], os.getcwd(), "/late" in sys.path, flush=True)

if __name__ == "__main__":
    child = procession.get_context("forkserver").Process(target=known)
    child.start()
    child.join()
""",
    )
    assert out == ["yes", "/", "True"]


def test_a_server_that_nobody_needs_ends_with_the_program(tmp_path):
    out, _ = run(
        tmp_path,
        """
import procession
procession.prepare()
from procession.forkserver import _forkserver
if __name__ == "__main__":
    print(_forkserver._forkserver_pid)
""",
    )
    assert not Path(f"/proc/{out[0]}").exists()


def test_a_prepared_server_that_is_killed_is_replaced():
    server = procession.forkserver.ForkServer()
    server.prepare()
    first = server._forkserver_pid
    os.kill(first, signal.SIGKILL)
    assert server.has_ended(60)
    server.ensure_running()
    assert server._forkserver_pid != first
    server._stop()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no room"), KeyboardInterrupt()], ids=["refused", "ctrl-c"])
def test_a_prepared_server_that_could_not_be_told_of_the_program_is_ended_and_replaced(error, monkeypatch):
    def fail(*_):
        raise error

    server = procession.forkserver.ForkServer()
    server.prepare()
    first = server._forkserver_pid
    with monkeypatch.context() as patched, pytest.raises(type(error)):
        patched.setattr(os, "pwrite", fail)
        server.ensure_running()
    assert not Path(f"/proc/{first}").exists()
    server.ensure_running()
    assert server._forkserver_pid != first and server.first_number
    server._stop()


@pytest.mark.parametrize("boot", ["prepare", "ensure_running"])
def test_a_server_that_cannot_be_watched_is_ended(boot, monkeypatch):
    begun = []

    def fail(pid):
        begun.append(pid)
        raise OSError(errno.EMFILE, "no descriptor left")

    server = procession.forkserver.ForkServer()
    with monkeypatch.context() as patched, pytest.raises(OSError, match="no descriptor left"):
        patched.setattr(procession.forkserver, "has_pidfds", lambda: True)
        patched.setattr(procession.forkserver, "open_pidfd", fail)
        getattr(server, boot)()
    assert not Path(f"/proc/{begun[0]}").exists() and not server.is_running()
    server.ensure_running()
    server._stop()


class Copied(procession.forkserver.ForkServer):
    """Has its process copied, as by another thread, whenever something of it has changed."""

    statuses = None

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        statuses, self.__dict__["statuses"] = self.statuses, None
        if statuses is None:
            return
        if (child := os.fork()) == 0:
            try:
                is_usable = not self.is_running() or self.first_number > 0
                os._exit(0 if is_usable and self._memory is None else 1)
            finally:
                os._exit(2)
        statuses.append((name, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
        self.__dict__["statuses"] = statuses


@pytest.mark.parametrize("is_prepared", [True, False], ids=["prepared", "at once"])
def test_a_copy_that_is_made_while_a_server_begins_or_ends_has_all_of_it_or_nothing(is_prepared, capfd):
    server = Copied()
    statuses = server.__dict__["statuses"] = []
    try:
        if is_prepared:
            server.prepare()
        server.ensure_running()
        server._stop()
    finally:
        server.__dict__["statuses"] = None  # later forks of this process change something of it, too
    assert {"_control", "_sentinel", "first_number"} <= {name for name, _ in statuses}
    assert not [name for name, status in statuses if status != 0]
    assert capfd.readouterr().err == ""


def test_the_server_of_a_program_that_is_killed_ends(tmp_path):
    program = tmp_path / "killed.py"
    program.write_text(
        "import procession, os, signal\n"
        "procession.prepare()\n"
        "from procession.forkserver import _forkserver\n"
        "print(_forkserver._forkserver_pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    # The server has this pipe, too: it is at its end once both are gone.
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    try:
        arguments = Path(f"/proc/{int(done.stdout)}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return  # it has been waited for
    assert arguments == b""


def test_a_copy_of_a_process_leaves_a_prepared_server_to_it():
    server = procession.forkserver.ForkServer()
    server.prepare()
    child = os.fork()
    if child == 0:
        try:
            mine = server._control is None and server._memory is None
            server.ensure_running()
            server._stop()
            os._exit(0 if mine else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    server.ensure_running()
    assert server.first_number
    server._stop()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a, b.c\nfrom d import e, f", [("a", [], False), ("b.c", [], False), ("d", ["e", "f"], False)]),
        ('"""Text."""\nN = 3\ndef f(): import x\nclass C: pass\nimport b', [("b", [], False)]),
        ("try:\n    import a\nexcept ImportError:\n    import b\nimport c", [("a", [], True), ("c", [], False)]),
        ("import a\na.set()\nimport b", [("a", [], False)]),
        ("import os\nos.environ['A'] = 'b'\nimport b", [("os", [], False)]),
        ("import a\na.prepare()\nimport b", [("a", [], False), ("b", [], False)]),
        ("if __name__ == '__main__':\n    import a\nimport b", [("b", [], False)]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nimport b",
         [("typing", ["TYPE_CHECKING"], False), ("b", [], False)]),
        ("from . import a\nfrom .b import c\nfrom ..d import e\nfrom ....f import g",
         [("p.q", ["a"], False), ("p.q.b", ["c"], False), ("p.d", ["e"], False)]),
        ("this is no program", []),
    ],
)  # fmt: skip
def test_what_a_main_module_imports_first(tmp_path, source, expected):
    path = tmp_path / "main.py"
    path.write_text(source)
    assert main_imports.names(str(path), "p.q") == expected


def test_a_module_that_fails_ends_what_is_imported_early_unless_it_is_optional(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("early_one", "early_two"):
        (tmp_path / f"{name}.py").write_text("")
    (tmp_path / "early_bad.py").write_text("raise KeyboardInterrupt")
    main = tmp_path / "main.py"
    main.write_text(
        "try:\n    import early_bad\nexcept Exception: pass\nimport early_one\nimport early_bad\nimport early_two"
    )
    main_imports.load(str(main), "")
    assert "early_one" in sys.modules and "early_two" not in sys.modules
    del sys.modules["early_one"]
