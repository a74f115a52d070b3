"""Runs the situations: python -m benches.faults.situations --start-method fork --only 'descriptors|fork'"""

import argparse
import re
import sys

import procession

from benches.faults.situations.runner import CATALOG, run


def main():
    """Runs what the command line asks for; the exit status is 1 when anything failed."""
    parser = argparse.ArgumentParser(prog="python -m benches.faults.situations", description=__doc__.splitlines()[0])
    parser.add_argument("--start-method", choices=procession.get_all_start_methods(), action="append")
    parser.add_argument("--only", default="", help="a regular expression that their names contain")
    parser.add_argument("--list", action="store_true", help="print their names and what each expects")
    options = parser.parse_args()
    chosen = {name: function for name, function in CATALOG.items() if re.search(options.only, name)}
    if options.list:
        for name, function in chosen.items():
            print(f"{name}: {function.__doc__}")
        return
    failed = 0
    for name in chosen:
        for method in options.start_method or procession.get_all_start_methods():
            verdict = run([name], method)
            failed += not verdict.ok
            print(f"{method:10} {name}: {verdict.what} ({verdict.seconds:.1f} s)", flush=True)
            if not verdict.ok:
                print(verdict.detail, flush=True)
    print(f"{len(chosen)} situations, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
