#!/bin/sh
# polars 2.1.0 (seen on CPython 3.11.7): asking a frame for its Arrow stream changes the frame itself.
# A frame of two chunks has one afterwards, and its columns other memory; a series that is asked for its stream keeps its chunks.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check polars==2.1.0
cat >program.py <<'END'
import polars

first, second = polars.DataFrame({"a": [1, 2]}), polars.DataFrame({"a": [3, 4]})
frame = polars.concat([first, second], rechunk=False)
print("frame:", frame.n_chunks("all"), end=" ")
frame.__arrow_c_stream__()
print("->", frame.n_chunks("all"))
series = polars.concat([first["a"], second["a"]], rechunk=False)
print("series:", series.n_chunks(), end=" ")
series.__arrow_c_stream__()
print("->", series.n_chunks())
END
cat >seen <<'END'
frame: [2] -> [1]
series: 2 -> 2
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
