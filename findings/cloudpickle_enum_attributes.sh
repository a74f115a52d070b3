#!/bin/sh
# cloudpickle 3.1.3 (seen on CPython 3.11.7): members of an enum that travels by value lose what its `__new__` gave them.
# Only names and values are sent; the attribute that each member has where it comes from is an AttributeError where it arrives.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check cloudpickle==3.1.3
cat >program.py <<'END'
import enum
import subprocess
import sys

import cloudpickle


class Unit(enum.Enum):
    def __new__(cls, value, symbol):
        member = object.__new__(cls)
        member._value_ = value
        member.symbol = symbol
        return member

    METRE = 1, "m"
    SECOND = 2, "s"


RECEIVER = """
import pickle, sys
Unit = pickle.load(sys.stdin.buffer)
print([(unit.name, unit.value, getattr(unit, "symbol", "no symbol")) for unit in Unit])
"""
print([(unit.name, unit.value, unit.symbol) for unit in Unit], flush=True)
subprocess.run([sys.executable, "-c", RECEIVER], input=cloudpickle.dumps(Unit), check=True)
END
cat >seen <<'END'
[('METRE', 1, 'm'), ('SECOND', 2, 's')]
[('METRE', 1, 'no symbol'), ('SECOND', 2, 'no symbol')]
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
