"""Measures procession beside the standard library's multiprocessing: rounds alternate, medians are compared."""

import argparse
import importlib
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from statistics import median

from benches.workload import START_METHODS

ROOT = Path(__file__).parent.parent
LIBRARIES = ("multiprocessing", "procession")
ORDER = [
    "apply",
    "map_default",
    "map_one_by_one",
    "imap_unordered",
    "uneven",
    "scaling",
    "pool_start",
    "pool_again",
    "process_start",
    "process_start_numpy",
    "queue",
    "queue_large",
    "pipe",
    "pipe_asleep",
    "pipe_large",
    "lock",
    "lock_with",
    "lock_contended",
    "rlock",
    "semaphore",
    "event",
    "condition",
    "barrier",
    "value",
    "value_contended",
    "value_access",
    "array_access",
    "manager_dict",
    "arrays",
    "arrays_distinct",
    "array_results",
    "array_results_cold",
    "broadcast_partial",
    "broadcast_arguments",
    "shared_array",
    "payloads",
    "job_primes",
    "job_words",
    "job_image",
    "worker_memory",
]
LIMIT_S = 300


def parser():
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m benches", description=__doc__, epilog=f"Rows: {', '.join(ORDER)}")
    command.add_argument("--rows", help="which rows, by name, with commas between (default: all)")
    command.add_argument("--rounds", type=int, default=5, help="measurements of each library (default: %(default)s)")
    command.add_argument("--quick", action="store_true", help="three rounds of a tenth of the work")
    command.add_argument(
        "--start-method", choices=START_METHODS, default="fork", help="for rows not measured for each (default: fork)"
    )
    command.add_argument("--write", type=Path, metavar="FILE", help="also write the table, machine and command to FILE")
    return command


def measure(row, library, start_method, quick):
    """One number of one library, from a process of its own; None, with the reason on stderr, when it fails."""
    command = [sys.executable, "-m", f"benches.rows.{row}", library, start_method, *(["--quick"] if quick else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"{row} {library} {start_method}: no answer after {LIMIT_S} s", file=sys.stderr)
        return None
    if done.returncode:
        print(f"{row} {library} {start_method}: {done.stderr.strip()[-500:]}", file=sys.stderr)
        return None
    return float(done.stdout)


def compare(row, start_method, rounds, quick):
    """The medians of both libraries, measured by turns."""
    found = {library: [] for library in LIBRARIES}
    for turn in range(rounds):
        for library in LIBRARIES if turn % 2 == 0 else reversed(LIBRARIES):
            if (number := measure(row, library, start_method, quick)) is not None:
                found[library].append(number)
    return [median(numbers) if numbers else None for numbers in found.values()]


def shown(number):
    """A number with three digits that say something."""
    if number is None:
        return "-"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def line(workload, start_method, theirs, ours):
    """The row as Markdown: the ratio says how many times better procession is."""
    title = f"{workload.title}, {start_method}" if workload.each_start_method else workload.title
    ratio = target = "-"
    if ours and theirs:
        ratio = shown(ours / theirs if workload.higher_is_better else theirs / ours)
    if workload.target:
        target = shown(workload.target)
    cells = (title, workload.unit, shown(theirs), shown(ours), ratio, target)
    return f"| {' | '.join(cells)} |"


def machine():
    """What the numbers depend on."""
    models = [
        text.partition(": ")[2] for text in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in text
    ]
    return (
        f"{len(os.sched_getaffinity(0))} cores ({models[0] if models else platform.machine()}), "
        f"{platform.system()} {platform.release()}, {platform.python_implementation()} {platform.python_version()}, "
        f"load {os.getloadavg()[0]:.1f} at the start"
    )


def main():
    """Measures the chosen rows and prints the table as it grows."""
    options = parser().parse_args()
    rows = options.rows.split(",") if options.rows else ORDER
    if unknown := set(rows) - set(ORDER):
        parser().error(f"no row {unknown.pop()}: there are {', '.join(ORDER)}")
    rounds = min(3, options.rounds) if options.quick else options.rounds
    command = f"python -m benches {shlex.join(sys.argv[1:])}".strip()
    lines = [
        f"{machine()}\n",
        f"`{command}`: two workers, {options.start_method} unless a row says otherwise, medians of",
    ]
    lines[1] += f" {rounds} rounds each, taken by turns.\n"
    lines += ["| workload | unit | multiprocessing | procession | times better | aim |", "|---|---|---|---|---|---|"]
    print("\n".join(lines), flush=True)
    for row in rows:
        workload = importlib.import_module(f"benches.rows.{row}").ROW
        for method in START_METHODS if workload.each_start_method else [options.start_method]:
            lines.append(line(workload, method, *compare(row, method, rounds, options.quick)))
            print(lines[-1], flush=True)
    if options.write:
        options.write.write_text("# Measured beside the standard library\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
