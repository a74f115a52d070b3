#!/bin/sh
# Pillow 13.0.0 (seen on CPython 3.11.7): an image with a palette that has an alpha of each colour, as `quantize` makes
# of an RGBA image, is opaque after a way through `pickle`: the palette is pickled without its alpha. Whoever sends
# such images to workers gets their transparency back only through a file, or by `convert("RGBA")` before.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check pillow==13.0.0
cat >program.py <<'END'
import pickle

from PIL import Image

image = Image.new("RGBA", (2, 2), (10, 20, 30, 100)).quantize(2)
for one in image, pickle.loads(pickle.dumps(image)):
    print(one.mode, one.palette.mode, one.convert("RGBA").getpixel((0, 0)))
END
cat >seen <<'END'
P RGBA (10, 20, 30, 100)
P RGB (10, 20, 30, 255)
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
