#!/bin/sh
# pyarrow 26.0.1 (seen on CPython 3.11.7): a slice of a table, batch or array is pickled with all of the buffers that
# it was cut out of, also the parts that it does not have. A table that is cut into a hundred parts for the workers
# goes a hundred times; `concat_arrays` of a part alone gives one of its own, as writing it to an IPC stream does.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check pyarrow==26.0.1
cat >program.py <<'END'
import pickle

import pyarrow as pa

table = pa.table({"number": pa.array(range(1_000_000))})
part = table.slice(0, 10)
print(part.nbytes, "bytes, pickled above 8 MB:", len(pickle.dumps(part)) > 8_000_000)
alone = pa.concat_arrays(part["number"].chunks)
print(alone.nbytes, "bytes, pickled below 1 kB:", len(pickle.dumps(alone)) < 1_000, alone.equals(part["number"].chunk(0)))
END
cat >seen <<'END'
80 bytes, pickled above 8 MB: True
80 bytes, pickled below 1 kB: True True
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
