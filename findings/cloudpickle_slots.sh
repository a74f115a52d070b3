#!/bin/sh
# cloudpickle 3.1.3 (seen on CPython 3.11.7): a class with `__slots__` that travels by value arrives without its slots.
# The receiver shows the same `__slots__`, but no descriptors: instances have a `__dict__`, take any attribute, and need
# several times the memory that the slots were to save.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check cloudpickle==3.1.3
cat >program.py <<'END'
import subprocess
import sys

import cloudpickle


class Point:
    __slots__ = ("x", "y")


RECEIVER = """
import pickle, sys
Point = pickle.load(sys.stdin.buffer)
point = Point()
print(Point.__slots__, "descriptor of x:", "x" in vars(Point), "__dict__:", hasattr(point, "__dict__"))
point.anything = 1
"""
sys.stdout.flush()
print(Point.__slots__, "descriptor of x:", "x" in vars(Point), "__dict__:", hasattr(Point(), "__dict__"), flush=True)
subprocess.run([sys.executable, "-c", RECEIVER], input=cloudpickle.dumps(Point), check=True)
END
cat >seen <<'END'
('x', 'y') descriptor of x: True __dict__: False
('x', 'y') descriptor of x: False __dict__: True
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
