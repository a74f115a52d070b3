"""Runs programs of libraries with our warnings as errors, by each start method, and others that are to be warned of.

    python -m tests.silence
    python -m tests.silence --only pandas --only polars --environment /tmp/libraries

The libraries, in the versions of `requirements.txt`, are installed into an environment of their own, a new one unless
one is named. Status 0 if every ordinary program is right and silent, and every faulty one is warned of.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
PROGRAMS = HERE / "programs"
METHODS = ("fork", "spawn", "forkserver")
LIMIT_S = 120
AS_ERRORS = "error::procession.ProcessionWarning"
# What a fault is warned of by, and under which start methods it is one.
FAULTS = {
    "variable": ("StaleVariable", ("spawn", "forkserver")),
    "generator": ("SameRandomNumbers", ("fork", "forkserver")),
    "random": ("SameRandomNumbers", ("fork", "forkserver")),
    "threads": ("ForkBesideThreads", ("fork",)),
}


def install(environment):
    """Make an environment with the libraries, unless it has them; return its interpreter."""
    python = environment / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
    subprocess.run(pip, check=True)
    return python


def run(python, program, *arguments):
    """Run a program on this checkout; return its status and all that it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    command = [python, "-W", AS_ERRORS, PROGRAMS / program, *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, cwd=ROOT)
    except subprocess.TimeoutExpired as error:
        return None, f"no end in {LIMIT_S} seconds\n{(error.stderr or b'').decode(errors='replace')}"
    return ended.returncode, ended.stdout + ended.stderr


def ordinary(python, only):
    """Run the programs of libraries; return those that were wrong or not silent, and what they said."""
    wrong = {}
    for path in sorted(PROGRAMS.glob("of_*.py")):
        name = path.stem.removeprefix("of_")
        if only and name not in only:
            continue
        for method in METHODS:
            status, said = run(python, path.name, method)
            if (status, said) != (0, ""):
                wrong[f"{name} by {method}"] = f"status {status}\n{said}"
        tell(name, "silent", wrong)
    return wrong


def faulty(python):
    """Run the programs with faults; return those of which nothing, or something else, was said."""
    wrong = {}
    for fault, (category, methods) in FAULTS.items():
        for method in METHODS:
            _, said = run(python, "faulty.py", method, fault)
            if (category in said) != (method in methods) or (said != "") != (method in methods):
                wrong[f"{fault} by {method}"] = said or "silent"
        tell(fault, "told of", wrong)
    return wrong


def tell(name, well, wrong):
    """Say how a program did by all start methods."""
    is_wrong = any(key.startswith(f"{name} by ") for key in wrong)
    print(f"{name}: {'WRONG' if is_wrong else well}", flush=True)


def main():
    """The command."""
    parser = argparse.ArgumentParser(prog="scripts/silence", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", action="append", metavar="LIBRARY", help="not all of them; may be repeated")
    parser.add_argument("--environment", type=Path, help="where the libraries are, or go (default: a place that goes)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="silence-") as folder:
        python = install(options.environment or Path(folder))
        wrong = ordinary(python, options.only) | faulty(python)
    for name, said in wrong.items():
        print(f"== {name}: {said}")
    print(f"silence: {'wrong: ' + ', '.join(wrong) if wrong else 'passed'}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
