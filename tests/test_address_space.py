"""Address space is taken as payloads need it: pools start, and large payloads go, where a batch system limits it."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

GIB = 1 << 30
PROGRAMS = Path(__file__).parent / "programs/address_space"


def address_space(_=None):
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def identity(x):
    return x


def run(program, method):
    """Run a program; return the words that it prints."""
    command = [sys.executable, str(PROGRAMS / program), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout.split()


def test_a_pool_takes_less_than_a_gibibyte_of_address_space(context):
    before = address_space()
    with context.Pool(2) as pool:
        assert pool.map(identity, range(10)) == list(range(10))
        assert address_space() - before < GIB
        assert max(pool.map(address_space, range(8))) < before + GIB


def test_many_pools_at_once_take_a_few_gibibytes(context):
    before = address_space()
    pools = [context.Pool(1) for _ in range(12)]
    try:
        assert [pool.apply(identity, (n,)) for n, pool in enumerate(pools)] == list(range(12))
        assert address_space() - before < 3 * GIB
    finally:
        for pool in pools:
            pool.terminate()
            pool.join()


def test_address_space_grows_with_what_is_sent_and_not_more(context):
    with context.Pool(1) as pool:
        before = address_space()
        for size in (10 << 20, 40 << 20, 200 << 20, 10 << 20):
            payload = bytes(size)
            assert pool.apply(len, (payload,)) == size
            assert pool.apply(identity, (payload,)) == payload
            del payload
        assert address_space() - before < 2 * GIB


# A worker has its parent's mappings, or those of a new process.
OLD_OR_NEW = pytest.mark.parametrize("method", ["fork", "spawn"])


@OLD_OR_NEW
def test_a_pool_and_large_payloads_work_under_a_limit_of_address_space(method):
    told = run("two_gigabytes.py", method)
    assert told == ["1000000", str(300 << 20), "True", str(300 << 20), "160"]


@OLD_OR_NEW
def test_what_does_not_fit_fails_alone_and_says_so(method):
    large, small = str(200 << 20), str(2 << 20)
    assert run("not_enough.py", method) == ["5", "True", "True", "5", "50", "True", "True", small, large, large]


def test_too_little_address_space_for_a_pool_is_an_error_that_names_limit_and_need(context):
    code = "import sys, procession\nif __name__ == '__main__': procession.get_context(sys.argv[1]).Pool(32)"
    command = ["sh", "-c", 'ulimit -v 600000; exec "$@"', "sh", sys.executable, "-c", code, context.get_start_method()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    wanted = "OSError: [Errno 12] 32 workers need some 1056 MiB of address space beside that in use, of 585 (ulimit -v)"
    assert wanted in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_that_limit_themselves_have_their_address_space_beside_queues(method):
    taken = "400000000"
    assert run("own_limit.py", method) == ["0", taken, taken, taken, taken, "0", "True"]
