#!/bin/sh
# cloudpickle 3.1.3 (seen on CPython 3.11.7): a dataclass that travels by value loses which of its fields are required.
# It brings a copy of `dataclasses.MISSING`; the receiver compares with its own by identity, so a subclass that is made
# there takes the copy for a default, and can be made without arguments.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check cloudpickle==3.1.3
cat >program.py <<'END'
import dataclasses
import subprocess
import sys

import cloudpickle


@dataclasses.dataclass
class Point:
    x: int
    y: int = 3


RECEIVER = """
import dataclasses, pickle, sys
Point = pickle.load(sys.stdin.buffer)

@dataclasses.dataclass
class Named(Point):
    name: str = "here"

print("the same MISSING:", Point.__dataclass_fields__["x"].default is dataclasses.MISSING)
try:
    print("Named() has x of type", type(Named().x).__name__)
except TypeError as error:
    print(error)
"""
sys.stdout.flush()
subprocess.run([sys.executable, "-c", RECEIVER], input=cloudpickle.dumps(Point), check=True)
END
cat >seen <<'END'
the same MISSING: False
Named() has x of type _MISSING_TYPE
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
