#!/bin/sh
# numpy 2.4.6 (seen on CPython 3.11.7): a masked array with a hard mask has a soft one after a way through `pickle`, as
# in a worker: what is assigned to a masked cell there unmasks it, where the same code in the program that sent it
# leaves it masked.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check numpy==2.4.6
cat >program.py <<'END'
import pickle

import numpy as np

array = np.ma.array([1, 2], mask=[False, True], hard_mask=True)
for one in array, pickle.loads(pickle.dumps(array)):
    one[1] = 5
    print(one.hardmask, one)
END
cat >seen <<'END'
True [1 --]
False [1 5]
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
