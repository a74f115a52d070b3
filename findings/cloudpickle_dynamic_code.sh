#!/bin/sh
# cloudpickle 3.1.3 (seen on CPython 3.11.7): a function that travels by value forgets which file it comes from, though
# the file is there where it arrives. Its code says `<dynamic-code>`: a traceback has no line of source, `inspect` finds
# none, breakpoints of a debugger are not met, and coverage counts nothing of it. cloudpickle 3.0.0 kept the file.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
cat >program.py <<'END'
import subprocess
import sys

import cloudpickle


def make():
    def inverse(x):
        return 1 / x

    return inverse


RECEIVER = """
import inspect, os, pickle, sys, traceback
inverse = pickle.load(sys.stdin.buffer)
try:
    inverse(0)
except ZeroDivisionError as error:
    place = traceback.extract_tb(error.__traceback__)[-1]
try:
    source = inspect.getsource(inverse).strip()
except OSError as error:
    source = error
print(os.path.basename(place.filename), place.lineno, repr(place.line), "inspect:", repr(source))
"""
print(cloudpickle.__version__, end=" ", flush=True)
subprocess.run([sys.executable, "-c", RECEIVER], input=cloudpickle.dumps(make()), check=True)
END
for version in 3.0.0 3.1.3; do
    environment/bin/pip install -q --disable-pip-version-check cloudpickle==$version
    environment/bin/python program.py
done >printed
cat >seen <<'END'
3.0.0 program.py 9 'return 1 / x' inspect: 'def inverse(x):\n        return 1 / x'
3.1.3 <dynamic-code> 9 '' inspect: OSError('could not get source code')
END
diff seen printed && echo "as seen"
