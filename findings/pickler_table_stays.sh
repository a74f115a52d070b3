#!/bin/sh
# cloudpickle 3.1.3 (seen on CPython 3.11.7): a pickler that is used again and told to `clear_memo()` keeps a table as large
# as its largest pickle needed, and clears all of it each time: after one list of 300,000 pairs each small pickle took
# milliseconds. So does the interpreter's `pickle.Pickler`, from which it is derived; an empty `memo`, assigned, lets it go.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check cloudpickle==3.1.3
cat >program.py <<'END'
import io
import pickle
import sys

import cloudpickle

large = [(number, str(number)) for number in range(100_000)]
for library, kind in ("pickle", pickle.Pickler), ("cloudpickle", cloudpickle.Pickler):
    out = io.BytesIO()
    pickler = kind(out, 5)
    sizes = []
    for value in (1, large, 1):
        pickler.dump(value)
        pickler.clear_memo()
        sizes.append(sys.getsizeof(pickler) > 1_000_000)
    pickler.memo = {}
    print(library, *sizes, sys.getsizeof(pickler) > 1_000_000)
END
cat >seen <<'END'
pickle False True True False
cloudpickle False True True False
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
