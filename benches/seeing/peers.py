"""Tools of others that look on at a job, beside ours: what each opens while it does, what it costs, what it shows.

Each runs in a program of its own, with and without its tool; from outside it is counted which ports listen, and which
processes and threads there are, and how much CPU time all of them use.
"""

import select
import subprocess
import sys
from importlib.util import find_spec
from typing import NamedTuple

import psutil

__all__ = ["TOOLS", "main"]

WORKERS = 2


class Tool(NamedTuple):
    """A tool: what it needs, and parts of the program that it is tried in.

    Attributes:
        needs: a module.
        shows: what it shows.
        begin: makes workers.
        job: runs the job; where `tool` is true, with the tool.
        define: what that needs besides.
    """

    needs: str
    shows: str
    begin: str
    job: str
    define: str = ""


TOOLS = {
    "procession, `progress=`": Tool(
        "procession",
        "items done, failed, running, rate, time left, a line a task",
        "pool = procession.Pool(2)",
        "pool.map(work, items, 10, progress='plain' if tool else False)",
    ),
    "procession, `top` looks on": Tool(
        "procession",
        "all pools of the machine: each worker's task, since when, CPU, in line, memory",
        "pool = procession.Pool(2)",
        "looker = looking() if tool else None; pool.map(work, items, 10); looker and looker.kill()",
    ),
    "procession, `recording()`": Tool(
        "procession",
        "afterwards: what to do about it, timeline, functions, failures, in one file",
        "pool = procession.Pool(2)",
        "with procession.recording() if tool else contextlib.nullcontext(): pool.map(work, items, 10)",
    ),
    "tqdm, `process_map`": Tool(
        "tqdm",
        "results that were read in order, rate, time left",
        "pool = cf.ProcessPoolExecutor(2)",
        "list(pool.map(work, items, chunksize=10)) if not tool else "
        "process_map(work, items, max_workers=2, chunksize=10, file=nowhere)",
        "import concurrent.futures as cf\nfrom tqdm.contrib.concurrent import process_map",
    ),
    "mpire, bar and insights": Tool(
        "mpire",
        "items done, rate; sums of each worker's times afterwards",
        "pools = {t: mpire.WorkerPool(2, keep_alive=True, enable_insights=t) for t in (False, True)}",
        "pools[tool].map(work, items, chunk_size=10, progress_bar=tool, progress_bar_options={'file': nowhere})",
        "import mpire",
    ),
    "mpire, dashboard": Tool(
        "mpire.dashboard",
        "bars of running maps in a browser",
        "pool = mpire.WorkerPool(2, keep_alive=True)",
        "tool and shown(); "
        "pool.map(work, items, chunk_size=10, progress_bar=tool, progress_bar_options={'file': nowhere})",
        "import functools, mpire, mpire.dashboard\nshown = functools.cache(mpire.dashboard.start_dashboard)",
    ),
    "joblib, `verbose=10`": Tool(
        "joblib",
        "lines: tasks done, time, time left",
        "jobs = {t: joblib.Parallel(2, verbose=10 * t, batch_size=10) for t in (False, True)}",
        "with contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere): "
        "jobs[tool](joblib.delayed(work)(item) for item in items)",
        "import joblib",
    ),
    "dask, `performance_report`": Tool(
        "bokeh",
        "afterwards: task stream, profiles, bandwidth, in a page that loads bokeh from the net",
        "pool = Client(n_workers=2, threads_per_worker=1)",
        "with performance_report(folder + '/report.html') if tool else contextlib.nullcontext(): "
        "pool.gather(pool.map(work, items, batch_size=10, pure=False))",
        "from distributed import Client, performance_report",
    ),
    "ray, `timeline`": Tool(
        "ray",
        "afterwards: a trace for Chrome",
        "ray.init(num_cpus=2, include_dashboard=False, logging_level='ERROR', log_to_driver=False); pool = Pool(2)",
        "pool.map(work, items, chunksize=10); tool and ray.timeline(folder + '/trace.json')",
        "import ray\nfrom ray.util.multiprocessing import Pool",
    ),
}
PROGRAM = """
import contextlib, json, os, subprocess, sys, tempfile, time
import procession
say = sys.stdout
nowhere = open(os.devnull, "w")
folder = tempfile.mkdtemp()
items = list(range({count}))

def work(number):
    return sum(range(60_000)) and number  # about 1 ms of a CPU, whoever else wants that

def looking():
    from benches.seeing.costs import LOOKER
    return subprocess.Popen([sys.executable, "-c", LOOKER], stdout=nowhere)

{define}

def job(tool):
    {job}

if __name__ == "__main__":
    {begin}
    for line in sys.stdin:
        tool = line == "with\\n"
        job(tool)
        print("done", file=say, flush=True)
    os._exit(0)
"""


def main(quick):
    """Print a table of all tools that are installed; return the exit code."""
    count, pairs = (100, 1) if quick else (500, 3)
    print(f"{count:,} tasks of about 1 ms, {WORKERS} workers, {pairs} pairs by turns; without the tool → with it:\n")
    print("| | ports | processes | threads of the program | CPU time a task | shows |\n|---|---|---|---|---|---|")
    for name, tool in TOOLS.items():
        cells = _cells(tool, count, pairs) if _is_installed(tool.needs) else [f"needs {tool.needs}", "", "", ""]
        print(f"| {name} | {' | '.join(cells)} | {tool.shows} |", flush=True)
    return 0


def _cells(tool, count, pairs):
    program = PROGRAM.format(count=count, begin=tool.begin, job=tool.job, define=tool.define)
    try:
        before, after, times = _tried(program, pairs)
    except RuntimeError as error:
        return [str(error), "", "", ""]
    opened = [f"{one} → {other}" if one != other else str(one) for one, other in zip(before, after, strict=True)]
    return [*opened, " → ".join(f"{1e3 * seconds / count:.2f} ms" for seconds in times)]


def _is_installed(module):
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _tried(program, pairs):
    """Return what is open before the tool is there and with it, and how much CPU time a job takes each way."""
    command = [sys.executable, "-c", program]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, text=True, **pipes) as child:
        try:
            _, before = _run(child, "without")
            times, after = {"without": [], "with": []}, (0, 0, 0)
            for number in range(pairs):
                for way in ("without", "with") if number % 2 else ("with", "without"):
                    seconds, seen = _run(child, way)
                    times[way].append(seconds)
                    after = tuple(map(max, after, seen))
        finally:
            for process in [*psutil.Process(child.pid).children(recursive=True), child]:
                process.kill()
    return before, after, (min(times["without"]), min(times["with"]))


def _run(child, way):
    root = psutil.Process(child.pid)
    used = _cpu(root)
    child.stdin.write(f"{way}\n")
    child.stdin.flush()
    most = (0, 0, 0)
    while not select.select([child.stdout], [], [], 0.1)[0]:
        most = tuple(map(max, most, _opened(root)))
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(child.stderr.read().strip().rpartition("\n")[2][:80] or "it ended")
    return _cpu(root) - used, most


def _cpu(root):
    """Return how many seconds a program, what is below it, and what was, have been on a CPU."""
    total = 0.0
    for process in [root, *root.children(recursive=True)]:
        try:
            user, system, of_ended, system_of_ended = process.cpu_times()[:4]
        except psutil.Error:
            continue
        total += user + system + of_ended + system_of_ended
    return total


def _opened(root):
    """Return how many ports listen, how many processes there are below the program, and how many threads it has."""
    family = [root, *root.children(recursive=True)]
    ports = 0
    for process in family:
        try:
            ports += sum(one.status == psutil.CONN_LISTEN for one in process.net_connections("tcp"))
        except psutil.Error:
            continue
    return ports, len(family) - 1, root.num_threads()
