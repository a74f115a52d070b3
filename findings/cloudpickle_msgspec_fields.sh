#!/bin/sh
# cloudpickle 3.1.3 with msgspec 0.23.0 (seen on CPython 3.11.7): a Struct that travels by value arrives without fields.
# The class is made anew with no annotations, so it takes no arguments; an instance fails to unpickle.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check cloudpickle==3.1.3 msgspec==0.23.0
cat >program.py <<'END'
import subprocess
import sys

import cloudpickle
import msgspec


class Point(msgspec.Struct):
    x: int
    y: int = 2


RECEIVER = """
import pickle, sys
for name in ("class.pickle", "instance.pickle"):
    with open(name, "rb") as file:
        try:
            print(name, pickle.load(file).__struct_fields__)
        except TypeError as error:
            print(name, "TypeError:", error)
"""
for name, value in (("class.pickle", Point), ("instance.pickle", Point(1))):
    with open(name, "wb") as file:
        file.write(cloudpickle.dumps(value))
print(Point.__struct_fields__, flush=True)
subprocess.run([sys.executable, "-c", RECEIVER], check=True)
END
cat >seen <<'END'
('x', 'y')
class.pickle ()
instance.pickle TypeError: Extra positional arguments provided
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
