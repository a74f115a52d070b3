"""What a type checker makes of programs: the types that it finds, the mistakes that it refuses."""

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent


def run_mypy(*arguments):
    """Return the errors that mypy finds, as {(file, line): kind}, and its whole output."""
    command = [sys.executable, "-m", "mypy", "--config-file", "", "--strict", "--no-incremental", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert result.returncode in (0, 1), result.stdout + result.stderr
    found = re.findall(r"^(\S+?):(\d+): error: .*\[([\w-]+)\]$", result.stdout, re.MULTILINE)
    return {(Path(file).name, int(line)): kind for file, line, kind in found}, result.stdout


def test_types_are_found_and_mistakes_refused():
    wanted = {}
    for number, line in enumerate((HERE / "typing" / "refused.py").read_text().splitlines(), 1):
        if "# refused: " in line:
            wanted["refused.py", number] = line.rpartition("# refused: ")[2]
    assert len(wanted) > 25
    found, output = run_mypy("tests/typing/accepted.py", "tests/typing/refused.py")
    assert found == wanted, output
