#!/bin/sh
# numpy 2.4.6 (seen on CPython 3.11.7, a little-endian machine): the byte order of a pickled array depends on the protocol.
# A big-endian array comes back big-endian by protocol 5, and by protocol 2 to 4 in the native order (the values are the
# same); the default protocol of CPython before 3.14 is 4. Who writes such an array to a file by `tobytes` writes other bytes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check numpy==2.4.6
cat >program.py <<'END'
import pickle

import numpy

array = numpy.arange(3, dtype=">i4")
for protocol in range(2, 6):
    copy = pickle.loads(pickle.dumps(array, protocol))
    print(protocol, array.dtype.str, "->", copy.dtype.str, copy.tolist(), copy.tobytes() == array.tobytes())
END
cat >seen <<'END'
2 >i4 -> <i4 [0, 1, 2] False
3 >i4 -> <i4 [0, 1, 2] False
4 >i4 -> <i4 [0, 1, 2] False
5 >i4 -> >i4 [0, 1, 2] True
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
