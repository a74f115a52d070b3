"""Runs of pytest at once, of which each takes the next file that none has taken: `-p tests.shares --taken DIR`."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--taken", metavar="DIR", required=True, help="a folder that these runs share, empty at first")


def pytest_configure(config):
    config.pluginmanager.register(Share(Path(config.getoption("taken"))))


class Share:
    """Which files this run has taken, and which it has found taken."""

    def __init__(self, folder):
        self._folder = folder
        self._ours = {}

    def takes(self, file):
        """Take a file unless another run has; return whether it is ours."""
        if file not in self._ours:
            mark = self._folder / f"{file.parent.name}-{file.name}"
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
                self._ours[file] = True
            except FileExistsError:
                self._ours[file] = False
        return self._ours[file]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item):
        """Leave out what another run does; True tells pytest that nothing is to be done any more."""
        return None if self.takes(item.path) else True
