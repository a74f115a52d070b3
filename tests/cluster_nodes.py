"""What the clusters of the tests have in common: processes on this machine, which share only its disk."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
LIMIT_S = 180


class Processes:
    """An engine's own process and its nodes; this process is connected to them.

    A subclass has `begin`, which starts them, and `close`, which ends whatever of them there is.

    Args:
        folder: where the processes run.
        nodes: how many nodes there are.
    """

    def __init__(self, folder, nodes=2):
        self.folder = folder
        self.nodes = []
        try:
            self.begin(nodes)
        except BaseException:
            self.close()
            raise

    def run(self, log, module, *options, **environment):
        """Start a process of a module; what it says goes to a file of the folder."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, options)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            stdout=(self.folder / log).open("ab"),
            stderr=subprocess.STDOUT,
        )


def wait_until(is_true, process):
    """Wait until something is true that a process is to bring about."""
    until = time.monotonic() + LIMIT_S
    while not is_true():
        assert time.monotonic() < until and process.poll() is None, f"it does not start: {process.args}"
        time.sleep(0.02)
