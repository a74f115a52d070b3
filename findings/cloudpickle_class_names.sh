#!/bin/sh
# cloudpickle 3.1.3 (seen on CPython 3.11.7): a class that travels by value arrives with its names in the order of the
# alphabet, not of the class, and without the outer part of its `__qualname__`. Programs that read fields off `vars` of
# a class read them in another order; the text of a dataclass is another one, while its methods keep their full names.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check cloudpickle==3.1.3
cat >program.py <<'END'
import dataclasses
import subprocess
import sys

import cloudpickle


def make():
    @dataclasses.dataclass
    class Size:
        width: int = 1
        height: int = 2

        def area(self):
            return self.width * self.height

    return Size


SHOW = """
names = [name for name in vars(Size) if not name.startswith("_")]
print(names, Size(), Size.area.__qualname__, flush=True)
"""
exec(SHOW, {"Size": make()})
receiver = "import pickle, sys; Size = pickle.load(sys.stdin.buffer)\n" + SHOW
subprocess.run([sys.executable, "-c", receiver], input=cloudpickle.dumps(make()), check=True)
END
cat >seen <<'END'
['width', 'height', 'area'] make.<locals>.Size(width=1, height=2) make.<locals>.Size.area
['area', 'height', 'width'] Size(width=1, height=2) make.<locals>.Size.area
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
