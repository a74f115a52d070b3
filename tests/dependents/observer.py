"""A plugin of pytest that appends what happens to a file, and leaves out what was run before.

It runs in the environment of a client, and imports nothing of ours unless a start method is to be set.
"""

import json
import os

_EVENTS = os.environ["DEPENDENTS_EVENTS"]
_DONE = set(json.loads(os.environ["DEPENDENTS_DONE"]))
_WORSE = {"passed": 0, "skipped": 1, "failed": 2}
_outcomes = {}

if os.environ.get("DEPENDENTS_METHOD"):
    import procession

    procession.set_start_method(os.environ["DEPENDENTS_METHOD"])


def _write(*event):
    with open(_EVENTS, "a") as file:
        file.write(json.dumps(event) + "\n")


def pytest_collection_modifyitems(items):
    """Leave out what has an outcome already."""
    items[:] = [item for item in items if item.nodeid not in _DONE]


def pytest_runtest_logstart(nodeid):
    """Tell that a test begins."""
    _outcomes[nodeid] = ["passed", ""]
    _write("begins", nodeid)


def pytest_runtest_logreport(report):
    """Keep the worst outcome of a test's setup, call and teardown."""
    known = _outcomes[report.nodeid]
    if _WORSE[report.outcome] > _WORSE[known[0]]:
        known[:] = report.outcome, report.longreprtext[-4000:]


def pytest_runtest_logfinish(nodeid):
    """Tell how it ended."""
    _write("ends", nodeid, *_outcomes.pop(nodeid))


def pytest_sessionfinish():
    """Tell that all ran."""
    _write("done")
