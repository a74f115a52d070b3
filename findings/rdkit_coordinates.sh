#!/bin/sh
# rdkit 2026.9.1 (seen on CPython 3.11.7): the coordinates of a molecule are doubles, and go as single precision where it
# is pickled; what was set at its atoms does not go at all. What a worker measures differs from the seventh digit on.
# `Chem.SetDefaultPickleProperties` with `CoordsAsDouble` and `AllProps` keeps both.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check rdkit==2026.9.1
cat >program.py <<'END'
import pickle

from rdkit import Chem

water = Chem.MolFromXYZBlock("1\n\nO 123456.123456789 0 0\n")
water.GetAtomWithIdx(0).SetDoubleProp("charge", 0.5)
for one in water, pickle.loads(pickle.dumps(water)):
    print(f"{one.GetConformer().GetAtomPosition(0).x:.6f}", one.GetAtomWithIdx(0).HasProp("charge"))
END
cat >seen <<'END'
123456.123457 1
123456.125000 0
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
