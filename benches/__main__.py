"""Measures procession beside the standard library's multiprocessing and other libraries, in one run.

Rounds of all libraries alternate, and medians are compared; of a peer that is far off, one number is enough. With
--before, an earlier build and this one are measured in pairs besides, and the ratios within the pairs are compared.
"""

import argparse
import importlib
import os
import platform
import shlex
import sys
from pathlib import Path

from benches.libraries import OURS, PEERS
from benches.runner import FAR, LONG_S, Runner
from benches.table import EVERY_LIBRARY, IN_PART, Comparison, every_library
from benches.workload import START_METHODS

ORDER = [
    "apply",
    "map_default",
    "map_one_by_one",
    "imap_unordered",
    "uneven",
    "scaling",
    "pool_start",
    "pool_start_numpy",
    "first_pool",
    "first_pool_prepared",
    "pool_again",
    "process_start",
    "process_start_numpy",
    "queue",
    "simple_queue",
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
    "results_shared",
    "results_shared_chunks",
    "results_small_shared",
    "results_shared_parts",
    "results_instances",
    "job_primes",
    "job_words",
    "job_image",
    "worker_memory",
    "worker_memory_numpy",
]


def parser():
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m benches", description=__doc__, epilog=f"Rows: {', '.join(ORDER)}")
    command.add_argument("--rows", help="which rows, by name, with commas between (default: all)")
    command.add_argument("--rounds", type=int, default=5, help="measurements of each library (default: %(default)s)")
    command.add_argument("--quick", action="store_true", help="at most three rounds, of a tenth of the work")
    command.add_argument(
        "--start-method", choices=START_METHODS, default="fork", help="for rows not measured for each (default: fork)"
    )
    command.add_argument(
        "--peers",
        type=_peers,
        default=(),
        help=f"other libraries: all, none, or names with commas between: {', '.join(PEERS)} (default: none)",
    )
    command.add_argument(
        "--before",
        metavar="PYTHON",
        help="also measure this interpreter's procession, in pairs with the present one",
    )
    command.add_argument("--pairs", type=int, default=20, help="pairs for --before (default: %(default)s)")
    command.add_argument("--write", type=Path, metavar="FILE", help="also write tables, machine and command to FILE")
    return command


def _peers(text):
    names = {"all": PEERS, "none": ()}.get(text, text.split(","))
    if unknown := set(names) - set(PEERS):
        raise argparse.ArgumentTypeError(f"no peer {unknown.pop()}: there are {', '.join(PEERS)}")
    return tuple(names)


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


def how(options, rounds):
    """The command of a run, and what its numbers are."""
    command = shlex.join(["python", "-m", "benches", *sys.argv[1:]])
    pairs = (
        f", {options.pairs} pairs with the build before (median and middle half of the ratios; of the best numbers)"
        if options.before
        else ""
    )
    part = ", each of a tenth of the work where that gives the number" if options.quick else ""
    return (
        f"`{command}`: two workers, {options.start_method} unless a row says otherwise, "
        f"medians of {rounds} rounds each, taken by turns{part}{pairs}.{_of_peers(options) if options.peers else ''}"
    )


def _of_peers(options):
    """Which peers were asked for less than the others."""
    far = f" One number each of peers whose first was more than {FAR} times worse than {OURS}'s"
    if options.quick:
        return f"{far}."
    return f"{far}. Peers that would have worked for more than {LONG_S} s did a tenth of it, {IN_PART}."


def main():
    """Measures the chosen rows and prints the table as it grows."""
    options = parser().parse_args()
    rows = options.rows.split(",") if options.rows else ORDER
    if unknown := set(rows) - set(ORDER):
        parser().error(f"no row {unknown.pop()}: there are {', '.join(ORDER)}")
    if options.rounds < 0 or options.pairs < 1:
        parser().error("--rounds takes a number from 0, --pairs one from 1")
    rounds = min(3, options.rounds) if options.quick else options.rounds
    runner = Runner(rounds, options.quick, options.peers, options.before, options.pairs)
    table = Comparison(bool(options.peers), bool(options.before))
    lines, found = [f"{machine()}\n", f"{how(options, rounds)}\n", *table.head()], []
    print("\n".join(lines), flush=True)
    for row in rows:
        module = importlib.import_module(f"benches.rows.{row}")
        for method in START_METHODS if module.ROW.each_start_method else [options.start_method]:
            found.append((module.ROW, method, runner.row(row, module.ROW, method, hasattr(module, "limit"))))
            lines.append(table.line(*found[-1]))
            print(lines[-1], flush=True)
            every = ["", EVERY_LIBRARY, "", *every_library(found, runner.names)] if options.peers else []
            if options.write:  # each time, so that a run that is stopped leaves what it has
                options.write.write_text("\n".join(["# Measured beside other libraries\n", *lines, *every]) + "\n")
    if options.peers:
        print("\n".join(every))


if __name__ == "__main__":
    main()
