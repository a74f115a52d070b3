"""The bill of materials in a wheel: python -m tests.distributions.bill WHEEL...

maturin writes one (CycloneDX) that names each crate of `Cargo.lock` that some system or feature would bring in. Here it
is cut down to what the library of this system is made of.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def parts(target):
    """Return the crates that the library of a target is made of, or its code by, each as "name version"."""
    command = ["cargo", "tree", "--locked", "-p", "procession-python", "-e", "normal,build", "--target", target]
    tree = subprocess.run([*command, "--prefix", "none"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = {" ".join(crate) for crate in re.findall(r"^(\S+) v(\S+)", tree, re.MULTILINE)}
    return {crate for crate in found if not crate.startswith("procession-python ")}


def named(bill):
    """Return the crates that a bill names, each as "name version"."""
    return {f"{part['name']} {part['version']}" for part in bill["components"]}


def cut(bill, wanted):
    """Return a bill without the components, and without the edges to them, that are not in `wanted`."""
    kept = [part for part in bill["components"] if f"{part['name']} {part['version']}" in wanted]
    gone = {part["bom-ref"] for part in bill["components"]} - {part["bom-ref"] for part in kept}
    edges = [
        {**edge, "dependsOn": [to for to in edge.get("dependsOn", ()) if to not in gone]}
        for edge in bill.get("dependencies", ())
        if edge["ref"] not in gone
    ]
    return {**bill, "components": kept, "dependencies": edges}


def cut_in(wheel):
    """Cut the bill of a wheel, which keeps its name, down to what is in it."""
    target = f"{'aarch64' if 'aarch64' in wheel.name else 'x86_64'}-unknown-linux-gnu"
    with tempfile.TemporaryDirectory() as folder:
        tool = (sys.executable, "-m", "wheel")
        subprocess.run([*tool, "unpack", "--dest", folder, wheel], check=True, stdout=subprocess.DEVNULL)
        [root] = Path(folder).iterdir()
        [path] = root.glob("*.dist-info/sboms/*.cyclonedx.json")
        path.write_text(json.dumps(cut(json.loads(path.read_text()), parts(target)), indent=2))
        subprocess.run([*tool, "pack", "--dest-dir", wheel.parent, root], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    for wheel in sys.argv[1:]:
        cut_in(Path(wheel).resolve())
