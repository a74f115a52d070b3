#!/bin/sh
# rtree 1.4.1 (seen on CPython 3.11.7): an index that lies in memory is pickled without an error and comes back empty: in
# a worker each search of it finds nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check rtree==1.4.1
cat >program.py <<'END'
import pickle

from rtree import index

boxes = index.Index()
boxes.insert(3, (0, 0, 1, 1), obj="a building")
for one in boxes, pickle.loads(pickle.dumps(boxes)):
    print(len(one), list(one.intersection((0, 0, 2, 2))))
END
cat >seen <<'END'
1 [3]
0 []
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
