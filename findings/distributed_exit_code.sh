#!/bin/sh
# Importing distributed changes what an exit is in another process: SystemExit keeps its arguments and loses its code.
# Seen: distributed 2026.8.0 with tblib 3.2.2 on CPython 3.11.7. distributed has tblib register a reduction for every
# exception class there is (copyreg), which makes the exception without calling it and sets `args` and what is in its
# `__dict__`: what a class of C keeps elsewhere, as SystemExit does its code, is None after a pickle and its undoing. So a
# program that hands sys.exit(5) of a worker on ends with 0 as soon as some library has imported distributed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" -q install distributed==2026.8.0 tblib==3.2.2
seen=$("$folder/env/bin/python" - <<'PROGRAM'
import pickle


def code():
    return pickle.loads(pickle.dumps(SystemExit(5))).code


before = code()
import distributed
print(before, code(), pickle.loads(pickle.dumps(SystemExit(5))).args)
PROGRAM
)
echo "$seen"
[ "$seen" = "5 None (5,)" ] || { echo "distributed_exit_code: it is different now" >&2; exit 1; }
echo "distributed_exit_code: as seen"
