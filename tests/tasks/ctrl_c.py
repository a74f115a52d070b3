"""Programs that are started and sent Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys


@contextlib.contextmanager
def begun(folder, text, line, **options):
    """Start a program in a group of its own that heeds Ctrl-C; give it once it has printed a line. Killed at last."""
    (folder / "script.py").write_text(text)
    program = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,
    )
    with program:
        try:
            assert program.stdout.readline() == line
            yield program
        finally:
            program.kill()


def check_ended_by_ctrl_c(folder, text, line, limit):
    """Start a program, send its group Ctrl-C when it has printed a line, and see it end by that, with one traceback."""
    with begun(folder, text, line) as program:
        os.killpg(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=limit)
    assert program.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1 and errors.endswith("KeyboardInterrupt\n")
