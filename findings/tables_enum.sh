#!/bin/sh
# tables 3.11.1 (seen on CPython 3.11.7): an `Enum`, and whatever holds one (`EnumAtom`, `EnumCol`), is pickled without an
# error and cannot be read: its `__getattr__` asks for the dict that is not there yet, until the recursion ends. Other atoms
# can.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check tables==3.11.1
cat >program.py <<'END'
import pickle

import tables

for one in tables.Float32Atom(), tables.Enum(["low", "high"]), tables.EnumAtom(["low", "high"], "low", "uint8"):
    try:
        print(type(one).__name__, pickle.loads(pickle.dumps(one)) == one)
    except RecursionError:
        print(type(one).__name__, "RecursionError")
END
cat >seen <<'END'
Float32Atom True
Enum RecursionError
EnumAtom RecursionError
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
