"""Sweeps ordinary workloads: each cell is a pair by turns of the standard library's multiprocessing and procession.

Prints the worst cells, the geometric mean, a histogram, and what used more CPU time or memory. With --quick, results
are checked only, of procession, and of fewer cells.
"""

import argparse
import random
import re
import sys
from pathlib import Path

from benches.sweep.cells import all_cells
from benches.sweep.page import page
from benches.sweep.pairs import Sweep


def parser():
    """The command line."""
    command = argparse.ArgumentParser(prog="python -m benches.sweep", description=__doc__)
    command.add_argument("--pairs", type=int, default=9, help="pairs of each cell (default: %(default)s)")
    command.add_argument("--cells", default="", help="only cells whose name METHOD/DIRECTION/VALUES/START matches this")
    command.add_argument("--sample", type=int, help="only so many cells, drawn at random")
    command.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    command.add_argument("--quick", action="store_true", help="check results, take no times; draws 100 cells")
    command.add_argument("--list", action="store_true", help="print the names of the cells, and stop")
    command.add_argument("--write", type=Path, metavar="FILE", help="write the page there as well")
    return command


def main():
    """Run the sweep; the exit status says whether all results of procession were right."""
    options = parser().parse_args()
    cells = [cell for cell in all_cells() if re.search(options.cells, cell.name)]
    if options.quick and options.sample is None:
        options.sample = 100
    if options.sample and options.sample < len(cells):
        cells = random.Random(options.seed).sample(cells, options.sample)
    if options.list:
        print("\n".join(cell.name for cell in cells))
        return
    sweep, outcomes = Sweep(0 if options.quick else options.pairs), []
    try:
        # Those of one start method and method together, so that pools stay as they are.
        for number, cell in enumerate(sorted(cells, key=lambda cell: (cell.start_method, cell.method))):
            outcome = sweep.cell(cell)
            outcomes.append(outcome)
            times = ", ".join(outcome.wrong.values()) or "right"
            if outcome.pairs:
                times = f"{outcome.times()[0]:.2f}x, CPU time {outcome.times('cpu_s')[0]:.2f}x"
            print(f"{number + 1}/{len(cells)} {cell.name} {outcome.count}: {times}", file=sys.stderr)
    finally:
        sweep.end()
    if options.quick:
        print(f"{sum(not outcome.wrong for outcome in outcomes)} of {len(outcomes)} cells right")
    else:
        text = page(outcomes, options)
        print(text)
        if options.write:
            options.write.write_text(text)
    wrong = [outcome for outcome in outcomes if "procession" in outcome.wrong]
    for outcome in wrong:
        print(f"{outcome.cell.name}: {outcome.wrong['procession']}", file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
