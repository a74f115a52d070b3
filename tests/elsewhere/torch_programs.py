"""Tensors print the same with the standard library, with the import changed, and by `python -m procession`."""

import subprocess
import sys
import tempfile
from pathlib import Path

from pages import programs

PROGRAM = Path(__file__).with_name("torch_tensors.py")
LIMIT_S = 300


def printed(*arguments):
    """Return what a program prints."""
    done = subprocess.run([sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        sys.exit(f"{arguments} failed:\n{done.stderr}")
    return done.stdout


def main():
    with tempfile.TemporaryDirectory() as directory:
        changed = Path(directory, "changed.py")
        source = PROGRAM.read_text()
        assert "\nimport multiprocessing\n" in source
        changed.write_text(source.replace("\nimport multiprocessing\n", "\nimport procession as multiprocessing\n"))
        for method in ("fork", "spawn", "forkserver"):
            expected = printed(PROGRAM, method)
            for way in ([changed], ["-m", "procession", PROGRAM]):
                found = printed(*way, method)
                assert found == expected, f"{way} by {method} printed\n{found}\nnot\n{expected}"
            print("torch: the same by", method)
        ((source, prints),) = programs("torch.md")
        page = Path(directory, "page.py")
        page.write_text(source)
        assert printed(page) == prints
        print("torch: the page's program runs")


if __name__ == "__main__":
    main()
