#!/bin/sh
# astropy 8.0.2 (with numpy 2.4.6, seen on CPython 3.11.7): times of which some are masked arrive from `pickle` with a
# mask that says nothing is masked, and any look at their values ends in a RecursionError. Times without a mask arrive
# as they were.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check astropy==8.0.2 numpy==2.4.6
cat >program.py <<'END'
import pickle

import numpy as np
from astropy.time import Time

times = Time(np.ma.array([58000.0, 58001.0], mask=[False, True]), format="mjd")
print(times.mask, times.mjd[0])
arrived = pickle.loads(pickle.dumps(times))
try:
    print(arrived.mask, arrived.mjd)
except RecursionError as error:
    print(arrived.mask, type(error).__name__)
print(pickle.loads(pickle.dumps(Time([58000.0], format="mjd"))).mjd)
END
cat >seen <<'END'
[False  True] 58000.0
[False False] RecursionError
[58000.]
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
