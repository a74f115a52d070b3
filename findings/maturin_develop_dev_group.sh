#!/bin/sh
# maturin 1.16.0: `maturin develop` installs the dependency group that is called `dev` (PEP 735), and no other, without
# being asked, by `pip install --group`, which pip knows from 25.1 on. A project that renames its extra `dev` to a group of
# that name can no longer be built with an older pip, as CPython 3.11.7 brings one; any other name leaves the build alone.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check maturin==1.16.0 pip==24.0
mkdir -p project/src
cd project
echo 'fn main() {}' >src/main.rs
printf '[package]\nname = "small"\nversion = "1.0.0"\nedition = "2021"\n' >Cargo.toml
for group in dev tools; do
    cat >pyproject.toml <<END
[build-system]
requires = ["maturin>=1.9,<2"]
build-backend = "maturin"
[project]
name = "small"
version = "1.0.0"
[dependency-groups]
$group = []
[tool.maturin]
bindings = "bin"
END
    if VIRTUAL_ENV="$folder/environment" PATH="$folder/environment/bin:$PATH" maturin develop >log 2>&1; then
        echo "a group called $group: built"
    else
        echo "a group called $group: $(grep -o 'no such option: --group' log | head -1)"
    fi
done >"$folder/printed"
cat >"$folder/seen" <<'END'
a group called dev: no such option: --group
a group called tools: built
END
diff "$folder/seen" "$folder/printed" && echo "as seen"
