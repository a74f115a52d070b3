#!/bin/sh
# shapely 2.2.0 (GEOS as in its wheel; seen on CPython 3.11.7): a linear ring arrives as a ring where it is pickled by
# itself, but as a plain line where it is a member of a collection, since the members are written in a form that knows
# no rings. Code that asks for `geom_type` in a worker takes another branch.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check shapely==2.2.0
cat >program.py <<'END'
import pickle

import shapely

ring = shapely.LinearRing([(0, 0), (1, 1), (1, 0)])
collection = shapely.GeometryCollection([ring])
print(ring.geom_type, pickle.loads(pickle.dumps(ring)).geom_type)
print(collection.geoms[0].geom_type, pickle.loads(pickle.dumps(collection)).geoms[0].geom_type)
END
cat >seen <<'END'
LinearRing LinearRing
LinearRing LineString
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
