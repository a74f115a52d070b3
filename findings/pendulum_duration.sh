#!/bin/sh
# pendulum 3.3.0 (seen on CPython 3.11.7): a duration of years and months comes back from `pickle` as one of weeks and
# days, of 365 and 30 days each. What a worker adds to a date then is another date than in the program that sent it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check pendulum==3.3.0
cat >program.py <<'END'
import pickle

import pendulum

duration = pendulum.duration(years=1, months=1)
start = pendulum.datetime(2024, 1, 31)
for one in duration, pickle.loads(pickle.dumps(duration)):
    print(one.in_words(), "|", one.years, one.months, "|", (start + one).to_date_string())
END
cat >seen <<'END'
1 year 1 month | 1 1 | 2025-02-28
56 weeks 3 days | 0 0 | 2025-03-01
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
