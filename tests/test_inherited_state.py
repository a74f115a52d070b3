"""What a child has of its parent's state: the same as in the standard library, start method by start method."""

import json
import subprocess
import sys

import procession
import pytest

LIMIT_S = 60

PROGRAM = """
import importlib, json, os, resource, sys

mp = importlib.import_module(sys.argv[1])


def state():
    mask = os.umask(0)
    os.umask(mask)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return mask, files, os.getcwd(), os.getpriority(os.PRIO_PROCESS, 0), sorted(os.sched_getaffinity(0))


if __name__ == "__main__":
    context = mp.get_context(sys.argv[2])
    os.umask(0o022)
    states = []
    with context.Pool(1) as pool:  # a server that is needed begins here
        states.append(pool.apply(state))
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_NOFILE, (333, 4096))
    os.chdir("/usr")
    os.nice(3)
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    with context.Pool(1) as pool:
        states.append(pool.apply(state))
    with context.Pool(1, os.umask, (0o027,)) as pool:
        states.append(pool.apply(state))
    print(json.dumps([states, state()]))
"""


def told(library, method, path):
    program = path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-W", "ignore", str(program), library, method]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("method", procession.get_all_start_methods())
def test_a_child_has_of_its_parent_what_it_has_in_the_standard_library(method, tmp_path):
    ours, theirs = (told(library, method, tmp_path) for library in ("procession", "multiprocessing"))
    assert ours == theirs
    (first, second, third), parent = ours
    assert second[2] == "/usr" and third[0] == 0o027
    # Only the directory is that of the parent at the moment, where a server stands in between.
    assert second == (parent if method != "forkserver" else [*first[:2], "/usr", *first[3:]])
