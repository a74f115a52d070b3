"""What looks into programs looks into their children, too: profilers, tracers, debuggers, as docs/tools.md tells."""

import contextlib
import functools
import glob
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import procession
from procession.process import around_child

METHODS = ("fork", "spawn", "forkserver")
TOOLS = Path(sys.executable).parent
LIMIT_S = 120


def squares(number):
    total = 0
    for one in range(number):
        total += one * one
    return total


# -- what is around each child ---------------------------------------------------------------------------------------


def traced(directory):
    from viztracer import VizTracer

    return VizTracer(output_file=os.path.join(directory, f"{os.getpid()}.json"), verbose=0)


@contextlib.contextmanager
def tracked(directory):
    import memray

    with memray.Tracker(os.path.join(directory, f"{os.getpid()}.bin")):
        yield


@contextlib.contextmanager
def timed(directory):
    from line_profiler import LineProfiler

    import __main__

    profiler = LineProfiler(__main__.squares)
    with profiler:
        yield
    profiler.dump_stats(os.path.join(directory, f"{os.getpid()}.lprof"))


@contextlib.contextmanager
def debugged(directory):
    import debugpy

    host, port = debugpy.listen(("127.0.0.1", 0))
    with socket.create_connection((host, port), timeout=LIMIT_S):
        Path(directory, f"{os.getpid()}.port").write_text(str(port))
    yield


def traces(directory):
    return [json.loads(path.read_text())["traceEvents"] for path in directory.glob("*.json")]


def sees_squares_traced(directory):
    return any(event["name"].startswith("squares ") for events in traces(directory) for event in events)


def sees_lines(directory):
    from line_profiler import load_stats

    timings = [load_stats(str(path)).timings for path in directory.glob("*.lprof")]
    return any(key[2].endswith("squares") and lines for timing in timings for key, lines in timing.items())


AROUND = {
    traced: sees_squares_traced,
    tracked: lambda directory: any(path.stat().st_size for path in directory.glob("*.bin")),
    timed: sees_lines,
    debugged: lambda directory: any(directory.glob("*.port")),
}


def check_around(method, factory, sees):
    with tempfile.TemporaryDirectory() as directory:
        take_back = around_child(functools.partial(factory, directory))
        child = procession.get_context(method).Process(target=squares, args=(1000,))
        child.start()
        child.join(LIMIT_S)
        with procession.get_context(method).Pool(2) as pool:
            assert pool.map(squares, range(50)) == [squares(number) for number in range(50)]
        take_back()
        assert child.exitcode == 0 and sees(Path(directory)), (method, factory, os.listdir(directory))


# -- what a program is started by ------------------------------------------------------------------------------------

BUSY = """
import sys

import procession


def inner(number):
    total = 0
    for one in range(number):
        total += one * one
    return total


if __name__ == "__main__":
    with procession.get_context(sys.argv[1]).Pool(2) as pool:
        print(len(pool.map(inner, [500_000] * 20)))
"""


def sees_in_profile(directory):
    return any("inner" in path.read_text() for path in directory.glob("*.raw"))


def sees_children_traced(directory):
    return any(event["name"].startswith("inner ") for events in traces(directory) for event in events)


def anything(directory):
    return True


COMMANDS = [
    (METHODS, "py-spy record --subprocesses -f raw -r 100 -o out.raw -- {python} busy.py {method}", sees_in_profile),
    (["fork"], "viztracer --quiet -o out.json -- busy.py {method}", sees_children_traced),
    (
        ["fork"],
        "python -m memray run --follow-fork -q -f -o out.bin busy.py {method}",
        lambda directory: len(glob.glob("out.bin.*", root_dir=directory)) >= 2,
    ),
    (["fork", "spawn"], "scalene run --cpu-only -o scalene.json busy.py {method}", anything),
]


def check_command(method, command, sees):
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "busy.py").write_text(BUSY)
        name, *arguments = command.format(python=sys.executable, method=method).split()
        done = subprocess.run(
            [TOOLS / name, *arguments],
            cwd=directory,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == 0 and "20\n" in done.stdout, (command, done)
        assert sees(Path(directory)), (command, os.listdir(directory))


def main():
    for method in METHODS:
        for factory, sees in AROUND.items():
            check_around(method, factory, sees)
            print("tools:", factory.__name__, "around children, by", method)
    for methods, command, sees in COMMANDS:
        for method in methods:
            check_command(method, command, sees)
            print("tools:", command.split()[0], "by", method)


if __name__ == "__main__":
    main()
