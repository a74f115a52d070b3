#!/bin/sh
# coverage 7.17.5 with `multiprocessing` of CPython 3.11.7: `patch = subprocess` measures children that are spawned, and
# none that are forked, without a word. `concurrency = multiprocessing` measures both.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check coverage==7.17.5
cat >program.py <<'END'
import pathlib
import subprocess
import sys

pathlib.Path("measured.py").write_text("""
import multiprocessing, sys

def work():
    if sys.argv:
        return 1

if __name__ == "__main__":
    child = multiprocessing.get_context(sys.argv[1]).Process(target=work)
    child.start()
    child.join()
""")
for setting in ("patch = subprocess", "concurrency = multiprocessing"):
    for method in ("fork", "spawn"):
        pathlib.Path(".coveragerc").write_text(f"[run]\nparallel = true\nsource = .\n{setting}\n")
        coverage = [sys.executable, "-m", "coverage"]
        subprocess.run([*coverage, "erase"], check=True)
        subprocess.run([*coverage, "run", "measured.py", method], check=True)
        subprocess.run([*coverage, "combine", "-q"], check=True)
        report = subprocess.run(
            [*coverage, "report", "-m", "--include=measured.py"], capture_output=True, text=True, check=True
        ).stdout
        missed = "missed" if "5-6" in report else "measured"
        print(f"{setting}, {method}: what the child ran is {missed}", flush=True)
END
cat >seen <<'END'
patch = subprocess, fork: what the child ran is missed
patch = subprocess, spawn: what the child ran is measured
concurrency = multiprocessing, fork: what the child ran is measured
concurrency = multiprocessing, spawn: what the child ran is measured
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
