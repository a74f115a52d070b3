"""Runs of pytest at once, of which each takes the next file that none has taken: `-p tests.shares --taken DIR`. What
fails is written into `DIR/failed`, a test a line as pytest takes them from a file."""

import os
from pathlib import Path

import pytest


def pytest_addoption(parser):
    parser.addoption("--taken", metavar="DIR", required=True, help="a folder that these runs share, empty at first")


def pytest_configure(config):
    config.pluginmanager.register(Share(Path(config.getoption("taken"))))


class Share:
    """Which files this run has taken, which it has found taken, and what has failed."""

    def __init__(self, folder):
        self._folder = folder
        self._ours = {}
        self._failed = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        test = f"{item.path}{item.nodeid[item.nodeid.index('::') :]}"
        if report.failed and test not in self._failed:
            self._failed.add(test)
            with open(self._folder / "failed", "a") as file:  # a line is written in one piece
                file.write(f"{test}\n")
        return report

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

    def _items(self, items):
        """Yield those of `items` that are ours, a file when its first one is reached."""
        return (item for item in items if self.takes(item.path))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        """Run what is ours, as pytest's own loop runs all. Each test is told which of ours comes next: by that pytest
        ends the fixtures of a file or a folder."""
        if session.config.option.collectonly or (
            session.testsfailed and not session.config.option.continue_on_collection_errors
        ):
            return None  # pytest's own says what there is to say
        items = self._items(session.items)
        item = next(items, None)
        while item is not None:
            upcoming = next(items, None)
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=upcoming)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)
            item = upcoming
        return True
