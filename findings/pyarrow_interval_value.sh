#!/bin/sh
# pyarrow 26.0.1 (seen on CPython 3.11.7): arrays of intervals of months, days and nanoseconds are pickled, but neither a
# scalar of them nor the Python value of one is: its class says that it is one of `builtins`, where it is not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check pyarrow==26.0.1
cat >program.py <<'END'
import pickle

import pyarrow as pa

array = pa.array([(1, 2, 3)], pa.month_day_nano_interval())
print(pickle.loads(pickle.dumps(array)).equals(array))
for one in array[0], array[0].as_py():
    try:
        print(pickle.loads(pickle.dumps(one)) == one)
    except pickle.PicklingError as error:
        print(type(one).__name__, error)
END
cat >seen <<'END'
True
MonthDayNanoIntervalScalar Can't pickle <class 'MonthDayNano'>: attribute lookup MonthDayNano on builtins failed
MonthDayNano Can't pickle <class 'MonthDayNano'>: attribute lookup MonthDayNano on builtins failed
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
