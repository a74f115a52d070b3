#!/bin/sh
# distributed 2026.8.0 (seen on CPython 3.11.7): an actor's proxy belongs to the default client of the process, not to the client
# that made the actor: settings of the maker, such as `direct_to_workers=True`, are not those of its calls. Where the maker is the
# current client while the result is read, it is the maker's.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check distributed==2026.8.0
cat >program.py <<'END'
from distributed import Client, LocalCluster


class Counter:
    def one(self):
        return 1


if __name__ == "__main__":
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, host="127.0.0.1") as cluster:
        with Client(cluster, name="default") as default:
            with Client(cluster, direct_to_workers=True, set_as_default=False, name="maker") as maker:
                future = maker.submit(Counter, actor=True)
                counter = future.result()
                print(counter.one().result(), counter.client is maker, counter.client is default)
                future = maker.submit(Counter, actor=True, pure=False)
                with maker.as_current():
                    counter = future.result()
                print(counter.one().result(), counter.client is maker, counter.client is default)
END
cat >seen <<'END'
1 False True
1 True False
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
