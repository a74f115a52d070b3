"""Fixtures for all tests: every start method through one name, and nothing left behind by any test."""

import signal

import procession
import pytest
from procession import testing

# A shell starts its background jobs with Ctrl-C ignored, and children would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(params=procession.get_all_start_methods())
def context(request):
    """The context of each start method in turn."""
    return procession.get_context(request.param)


@pytest.fixture
def pool(context):
    """A pool of two workers, by each start method in turn."""
    with context.Pool(2) as pool:
        yield pool
    pool.join()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    """Fail a test that leaves a process, a zombie, a descriptor, a thread or a name in shared memory."""
    with testing.nothing_left(60):  # for what is about to end, on whatever machine
        yield


def pytest_collection_modifyitems(items):
    """Have the tests of clusters come last: what they import changes this process."""
    items.sort(key=lambda item: item.path.name == "test_clusters.py")


def pytest_sessionfinish():
    """End the children that failed tests left, which would otherwise be waited for."""
    for child in procession.active_children():
        child.kill()
