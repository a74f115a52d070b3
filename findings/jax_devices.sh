#!/bin/sh
# jax 0.10.2 (seen on CPython 3.11.7): an array that was put on a device, or spread over several, is on the first one after a
# way through `pickle`, and no longer bound to it: a worker computes there with all of it, and what would be refused for
# arrays of different devices is not.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check jax==0.10.2
cat >program.py <<'END'
import os
import pickle

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
os.environ["JAX_PLATFORMS"] = "cpu"
import jax

here = jax.device_put(jax.numpy.ones(2), jax.devices()[1])
mesh = jax.make_mesh((2,), ("rows",))
spread = jax.device_put(jax.numpy.ones(2), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows")))
for name, array in ("one device", here), ("spread", spread):
    for one in array, pickle.loads(pickle.dumps(array)):
        print(name, sorted(device.id for device in one.devices()), one.committed)
END
cat >seen <<'END'
one device [1] True
one device [0] False
spread [0, 1] True
spread [0] False
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
