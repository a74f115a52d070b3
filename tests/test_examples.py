"""Every program of examples/ runs, under every start method, and prints what it should."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
LIMIT_S = 100
HAS_LOCK = getattr(sys, "_is_gil_enabled", lambda: True)()

# Runs a program as `python program arguments` would, but with another start method as the default.
RUN_WITH = """
import runpy, sys
import procession
procession.set_start_method(sys.argv[1])
del sys.argv[:2]
runpy.run_path(sys.argv[0], run_name="__main__")
"""

# What each prints: a list of lines in any order, or a pattern of the whole.
PRINTS = {
    "hello_process": ([], ["Worker process"]),
    "pool_map": ([], ["Worker 0", "Worker 1", "Worker 2", "Worker 3"]),
    "four_processes": ([], ["Process 1: 1", "Process 2: 2", "Process 3: 3", "Process 4: 4"]),
    "primes": (["--limit", "20000"], r"2,262 primes below 20,000\nserial .* pool .*\nThe two counts agree\.\n"),
    "word_count": ([str(EXAMPLES)], r"\d+ files, [\d,]+ words; .*\n  .*\nserial .* pool .*\nThe two counts agree\.\n"),
    "image_filter": (["--size", "256", "--tile", "64"], r"16 tiles .*\nserial .* pool .*\nThe two images agree\.\n"),
    "cluster": (
        ["spawn", "--limit", "20000", "--folder", str(EXAMPLES)],  # a cluster runs it in `test_clusters`
        r"(Process \d: \d\n){4}2,262 primes below 20,000, [\d,]+ words in \d+ files\n",
    ),
    "processes_or_threads": (
        ["--workers", "2", "--steps", "2000"],
        r"2 workers.*it is then +8 +0 +8\n.*CPU-bound: 4 loops.*waiting: 4 reads.*memory a worker costs.*MiB.*"
        + ("in Python code, one core.*" if HAS_LOCK else "this interpreter has no lock.*"),
    ),
}


def run(*arguments):
    """Runs Python and returns what it printed; anything on stderr is a failure.

    Unbuffered output, which a variable could ask for, would mix the lines of processes that print at the same time.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=LIMIT_S, env=environment
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def test_every_example_is_tried():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(PRINTS)


@pytest.mark.parametrize("start_method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("name", PRINTS)
def test_an_example_prints_what_it_should(name, start_method):
    arguments, expected = PRINTS[name]
    if name == "image_filter":
        pytest.importorskip("numpy")
    printed = run("-c", RUN_WITH, start_method, str(EXAMPLES / f"{name}.py"), *arguments)
    if isinstance(expected, list):
        assert sorted(printed.splitlines()) == expected
    else:
        assert re.fullmatch(expected, printed, re.DOTALL), printed


@pytest.mark.parametrize("name", [name for name, (arguments, _) in PRINTS.items() if arguments])
def test_an_example_with_options_explains_them(name):
    assert "usage:" in run(str(EXAMPLES / f"{name}.py"), "--help")
