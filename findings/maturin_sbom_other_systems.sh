#!/bin/sh
# maturin 1.16.0 puts a CycloneDX bill of materials into a wheel for Linux that names crates which only Windows would bring
# in (a dependency under `cfg(windows)` of errno 0.3.14): it lists what `Cargo.lock` may resolve to, where
# `cargo tree --target` lists what was built. Who audits the wheel by it finds crates whose code is not there.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check maturin==1.16.0
mkdir src
echo 'fn main() { println!("{}", errno::errno()); }' >src/main.rs
cat >Cargo.toml <<'END'
[package]
name = "small"
version = "1.0.0"
edition = "2021"
[dependencies]
errno = "=0.3.14"
END
cat >pyproject.toml <<'END'
[build-system]
requires = ["maturin>=1.9,<2"]
build-backend = "maturin"
[project]
name = "small"
version = "1.0.0"
[tool.maturin]
bindings = "bin"
END
environment/bin/maturin build -q --out wheels >log 2>&1 || { cat log; exit 1; }
cat >look.py <<'END'
import json
import pathlib
import subprocess
import zipfile

with zipfile.ZipFile(next(pathlib.Path("wheels").iterdir())) as wheel:
    (bill,) = (name for name in wheel.namelist() if name.endswith(".cyclonedx.json"))
    named = {part["name"] for part in json.loads(wheel.read(bill))["components"]}
tree = subprocess.run(["cargo", "tree", "--prefix", "none", "-e", "normal,build"], capture_output=True, text=True, check=True)
built = {line.split()[0] for line in tree.stdout.splitlines()}
for name in ("errno", "libc", "windows-sys"):
    print(f"{name}: {'named' if name in named else 'not named'}, {'built' if name in built else 'not built'}")
END
cat >seen <<'END'
errno: named, built
libc: named, built
windows-sys: named, not built
END
environment/bin/python look.py >printed
diff seen printed && echo "as seen"
