#!/bin/sh
# distributed 2026.8.0 (seen on CPython 3.11.7): `Client.scheduler_info(n_workers=-1)` now and then says that a cluster
# has no workers, while it has one all the time. The call asks the scheduler for all of them, and returns what the
# client has noted; in between, what the client asks for by itself every two seconds, without workers, may have
# replaced that. Here it asks more often, so that it is seen soon. `client.sync(client.scheduler.identity,
# n_workers=-1)` gives the answer itself.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check distributed==2026.8.0
cat >program.py <<'END'
import dask
import distributed

dask.config.set({"distributed.client.scheduler-info-interval": "2ms"})
with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
    with distributed.Client(cluster) as client:
        noted = {len(client.scheduler_info(n_workers=-1)["workers"]) for _ in range(5_000)}
        asked = {len(client.sync(client.scheduler.identity, n_workers=-1)["workers"]) for _ in range(1_000)}
print("workers noted:", sorted(noted), "asked for:", sorted(asked))
END
cat >seen <<'END'
workers noted: [0, 1] asked for: [1]
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
