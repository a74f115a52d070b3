#!/bin/sh
# Pillow 13.0.0 (seen on CPython 3.11.7): an image offers its memory by Arrow's interface only up to 16 MiB.
# Larger ones lie in several blocks and are refused; what is made from an array by `fromarrow` cannot be written to in place.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check pillow==13.0.0
cat >program.py <<'END'
from PIL import Image

for rows in (4096, 4097):
    image = Image.new("L", (4096, rows))
    try:
        image.__arrow_c_array__()
        print(rows * 4096, "bytes: offered")
    except ValueError as error:
        print(rows * 4096, "bytes:", error)
small = Image.new("L", (8, 8))
print("readonly:", small.readonly, "->", Image.fromarrow(small, "L", (8, 8)).readonly)
END
cat >seen <<'END'
16777216 bytes: offered
16781312 bytes: Image rows are not contiguous in memory.
readonly: 0 -> 1
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
