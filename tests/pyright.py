"""What pyright has found in tests/typing beside what it should: `python -m tests.pyright FOUND`."""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent / "typing"


def main(found):
    """Compare the lines with errors with those that say so."""
    report = json.loads(Path(found).read_text())
    files = sorted(HERE.glob("*.py"))
    wanted = {
        (path.name, number)
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if "# refused: " in line
    }
    errors = {
        (Path(one["file"]).name, one["range"]["start"]["line"] + 1): one["message"]
        for one in report["generalDiagnostics"]
        if one["severity"] == "error"
    }
    for place in sorted(errors.keys() - wanted):
        print("pyright: {}:{}: {}".format(*place, errors[place]), file=sys.stderr)
    for place in sorted(wanted - errors.keys()):
        print("pyright: {}:{}: a mistake that is not refused".format(*place), file=sys.stderr)
    if errors.keys() != wanted or report["summary"]["filesAnalyzed"] != len(files):
        sys.exit(1)
    print(f"pyright {report['version']}: {len(files)} files, {len(wanted)} mistakes refused, and nothing else")


if __name__ == "__main__":
    main(sys.argv[1])
