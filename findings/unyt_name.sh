#!/bin/sh
# unyt 3.2.0 (seen on CPython 3.11.7): the name of an array, which plots take for the labels of their axes, does not go
# with its pickle; values and unit do.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check unyt==3.2.0 numpy==2.4.6
cat >program.py <<'END'
import pickle

import unyt

mass = unyt.unyt_array([1.0, 2.0], "kg", name="mass")
for one in mass, pickle.loads(pickle.dumps(mass)):
    print(one, one.name)
END
cat >seen <<'END'
[1. 2.] kg mass
[1. 2.] kg None
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
