#!/bin/sh
# sympy 1.14.0 (seen on CPython 3.11.7): expressions that were made with `evaluate=False` are evaluated when they are
# unpickled, and a wildcard forgets what it excludes, so that it matches what it must not. An expression that a worker
# gets is another one than was sent, though nothing fails.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check sympy==1.14.0
cat >program.py <<'END'
import pickle

import sympy

x = sympy.Symbol("x")
for made in sympy.Add(x, x, evaluate=False), sympy.Pow(2, 3, evaluate=False), sympy.sin(0, evaluate=False):
    print(made, "->", pickle.loads(pickle.dumps(made)))
wild = sympy.Wild("w", exclude=[x])
print(x.match(wild), x.match(pickle.loads(pickle.dumps(wild))))
END
cat >seen <<'END'
x + x -> 2*x
2**3 -> 8
sin(0) -> 0
None {w_: x}
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
