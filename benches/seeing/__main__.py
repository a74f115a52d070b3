"""What it costs to see what pools do, all of it in one run.

`python -m benches.seeing` prints the costs, each by pairs, with and without, by turns. `--large` records ten million
tasks: memory, size of file and page, and how soon a browser, where there is one, has it. `--peers` has each tool of
others that is installed look on at one job: what it opens, what it costs, what it shows.
"""

import argparse
import sys

from benches.seeing import costs, large, peers


def main():
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benches.seeing", description=__doc__.split("\n\n")[0])
    parser.add_argument("--pairs", type=int, default=8, help="how often each is measured with and without (8)")
    parser.add_argument("--quick", action="store_true", help="a hundredth of the tasks: whether it works, not how fast")
    parser.add_argument("--before", metavar="PYTHON", help="an interpreter with another build: what a map costs there")
    parser.add_argument("--rows", metavar="A,B", help=f"only these of {', '.join(costs.ROWS)}")
    parser.add_argument("--large", action="store_true", help="record ten million tasks instead")
    parser.add_argument("--peers", action="store_true", help="other libraries' tools beside ours instead")
    wanted = parser.parse_args()
    if wanted.peers:
        return peers.main(wanted.quick)
    if wanted.large:
        return large.main(wanted.quick)
    names = wanted.rows.split(",") if wanted.rows else list(costs.ROWS)
    if unknown := [name for name in names if name not in costs.ROWS]:
        parser.error(f"no row is called {unknown[0]}: there are {', '.join(costs.ROWS)}")
    return costs.main(names, wanted.pairs, wanted.quick, wanted.before)


if __name__ == "__main__":
    sys.exit(main())
