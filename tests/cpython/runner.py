"""Runs some of the interpreter's tests in a process of its own, and appends what happens to a file.

Children import this file again as their parent's main module: nothing happens at import.
"""

import importlib
import json
import os
import signal
import sys
import unittest


def every_test(suite):
    """Return the tests of a suite, one by one."""
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from every_test(test)
        else:
            yield test


def tests_of(module):
    """Return the tests of a module by `Class.test`."""
    loaded = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(module))
    return {".".join(test.id().split(".")[-2:]): test for test in every_test(loaded)}


class Report(unittest.TestResult):
    """Writes a line for each beginning, outcome and fault of a fixture."""

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.outcome = None

    def write(self, *event):
        """Append an event. The file is opened each time: some tests close or count descriptors."""
        with open(self.path, "a") as file:
            file.write(json.dumps(event) + "\n")

    def name_of(self, test):
        """Return `Class.test`."""
        return ".".join(test.id().split(".")[-2:])

    def startTest(self, test):
        """As of the base class."""
        super().startTest(test)
        self.outcome = ("passed", "")
        self.write("begins", self.name_of(test))

    def stopTest(self, test):
        """As of the base class."""
        self.write("ends", self.name_of(test), *self.outcome)
        super().stopTest(test)

    def note(self, test, outcome, detail):
        """Take the first bad outcome of a test, or a fault of what is set up and torn down around tests."""
        if not isinstance(test, unittest.TestCase):
            self.write("fixture", str(test), outcome, detail)
        elif self.outcome[0] in ("passed", "skipped"):
            self.outcome = (outcome, detail)

    def addError(self, test, err):
        """As of the base class."""
        self.note(test, "failed", self._exc_info_to_string(err, test))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        """As of the base class."""
        if err is not None:
            self.note(test, "failed", f"{subtest}\n{self._exc_info_to_string(err, test)}")

    def addSkip(self, test, reason):
        """As of the base class."""
        self.note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        """As of the base class."""
        self.note(test, "failed", "it passed, which it was not expected to")


def main():
    """Do what the first argument asks for, as JSON: list the tests of modules, or run some of one module."""
    request = json.loads(sys.argv[1])
    if "list" in request:
        print(json.dumps({module: list(tests_of(module)) for module in request["list"]}))
        return
    import faulthandler

    from test import support
    from test.support import script_helper

    # A background job of a shell is started with these ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    faulthandler.enable()
    # Programs that tests run find the changed files only by the environment, so they must not be isolated from it.
    setattr(script_helper, "__cached_interp_requires_environment", True)
    tests = tests_of(request["module"])
    suite = unittest.TestSuite(tests.pop(name) for name in request["run"])
    tests.clear()
    report = Report(request["events"])
    suite.run(report)
    if getattr(support, "environment_altered", False):
        report.write("fixture", "the class", "failed", "left processes or threads behind")
    report.write("done", os.getpid())


if __name__ == "__main__":
    main()
