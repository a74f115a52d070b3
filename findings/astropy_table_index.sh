#!/bin/sh
# astropy 8.0.2 (seen on CPython 3.11.7): a table that has an index says after a way through `pickle` that it has one still,
# but `loc` fails with a TypeError that does not speak of it. `add_index` again, in the worker, helps.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check astropy==8.0.2
cat >program.py <<'END'
import pickle

from astropy.table import Table

table = Table({"name": ["a", "b"], "size": [1, 2]})
table.add_index("name")
for one in table, pickle.loads(pickle.dumps(table)):
    try:
        print(len(one.indices), one.loc["b"]["size"])
    except TypeError as error:
        print(len(one.indices), type(error).__name__, error)
END
cat >seen <<'END'
1 2
1 TypeError list indices must be integers or slices, not NoneType
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
