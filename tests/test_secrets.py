"""The key of a program is seen nowhere: no argument, environment, repr, error or log."""

import gc
import io
import logging
import os
import pickle
import traceback

import procession
import psutil
import pytest
from procession import forkserver, util
from procession.connection import Client, Listener
from procession.managers import SyncManager

LIMIT = 60
KEY = b"unmistakable-key-of-these-tests"


def shapes_of(key):
    """What a key looks like where it is shown by mistake."""
    return [key, repr(key).encode(), key.hex().encode(), repr(key)[2:-1].encode()]


def shows(text, key=KEY):
    text = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
    return any(shape in text for shape in shapes_of(key))


@pytest.fixture
def key():
    """The key of this process, for the time of the test."""
    process = procession.current_process()
    before = process.authkey
    process.authkey = KEY
    yield KEY
    process.authkey = before


@pytest.fixture
def log():
    """What procession logs meanwhile, of every level."""
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    logger = util.get_logger()
    level = logger.level
    logger.setLevel(util.SUBDEBUG)
    logger.addHandler(handler)
    yield text
    logger.removeHandler(handler)
    logger.setLevel(level)


def wait_for_word(end):
    with end:
        end.send(procession.current_process().authkey == KEY)
        end.recv()


def family():
    """This process and all that come from it, the helpers too."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def test_no_process_has_the_key_in_its_arguments_or_environment(context, key):
    server = forkserver._forkserver
    if context.get_start_method() == "forkserver" and server._forkserver_pid:
        server._stop()  # so that one boots under this key
    ours, theirs = context.Pipe()
    child = context.Process(target=wait_for_word, args=(theirs,))
    child.start()
    theirs.close()
    with context.Pool(1) as pool, SyncManager(ctx=context) as manager:
        assert pool.apply(abs, (-1,)) == 1 and list(manager.list([1])) == [1]
        assert ours.recv() is True, "the child knows the key"
        members = family()
        assert len(members) >= 4
        for member in members:
            for name in ("cmdline", "environ", "comm"):
                try:
                    with open(f"/proc/{member.pid}/{name}", "rb") as file:
                        assert not shows(file.read())
                except (ProcessLookupError, FileNotFoundError):
                    continue
    ours.send("end")
    ours.close()
    child.join(LIMIT)
    assert child.exitcode == 0


def test_no_repr_and_no_error_shows_the_key(context, key):
    manager = SyncManager(authkey=KEY, ctx=context)
    with Listener(authkey=KEY) as listener:
        process = context.Process(target=abs)
        objects = [
            procession.current_process(),
            process,
            manager,
            listener,
            listener._listener,
            context,
            listener._strangers,
        ]
        assert not any(shows(repr(obj) + str(obj)) for obj in objects)
        for wrong in (lambda: Client(listener.address, authkey="text"), lambda: Listener(authkey=KEY.decode())):
            with pytest.raises(TypeError) as caught:
                wrong()
            assert not shows("".join(traceback.format_exception(caught.value)).replace("authkey=KEY", ""))
    with pytest.raises(TypeError) as caught:
        pickle.dumps(procession.current_process().authkey)
    assert not shows(str(caught.value))


def test_no_log_shows_the_key(context, key, log, capfd):
    ours, theirs = context.Pipe()
    child = context.Process(target=wait_for_word, args=(theirs,))
    child.start()
    theirs.close()
    assert ours.recv() is True
    ours.send("end")
    ours.close()
    child.join(LIMIT)
    with SyncManager(ctx=context) as manager:
        values = manager.list([1])
        assert values[0] == 1
        with pytest.raises(procession.AuthenticationError):
            SyncManager(manager.address, b"another key").connect()
        del values
        gc.collect()
    out, err = capfd.readouterr()
    assert log.getvalue()
    assert not shows(log.getvalue() + out + err)


def test_a_key_comes_from_the_system_and_every_program_has_another():
    import subprocess
    import sys

    show = "import procession, hashlib as h; k = procession.current_process().authkey; print(len(k), h.md5(k).digest())"
    told = {subprocess.run([sys.executable, "-c", show], capture_output=True, timeout=LIMIT).stdout for _ in range(2)}
    assert len(told) == 2 and all(line.startswith(b"32 ") for line in told)


def test_files_that_hold_a_key_on_its_way_have_no_name(key, context):
    ours, theirs = context.Pipe()
    child = context.Process(target=wait_for_word, args=(theirs,))
    child.start()
    theirs.close()
    assert ours.recv() is True
    directory = procession.current_process()._config.get("tempdir")
    for name in os.listdir(directory) if directory else ():
        path = os.path.join(directory, name)
        assert not os.path.isfile(path)
    ours.send("end")
    ours.close()
    child.join(LIMIT)
