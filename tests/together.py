"""All tests of the package: `python -m tests.together`

Runs of pytest at once share the files, as most tests wait most of the time; those of clusters, whose libraries change
their process, have a run of their own. What all but the first tell comes when they have ended. One or two tests that
failed beside all the others are tried by themselves: what passes then is told of as UNSTEADY, and is a fault to find.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider")
MOST_AGAIN = 2  # more that fail are no accident of a machine that has much to do
TESTS_FAILED = 1  # pytest's status: it went to its end


def begin(folder, number, *files):
    """Start a run that shares the files; the first one tells at once, the others write into a log."""
    command = [*PYTEST, "-p", "tests.shares", "--taken", folder / "taken", *files]
    log = None if number == 1 else open(folder / f"log{number}", "wb")
    return subprocess.Popen(
        command, env={**os.environ, "TMPDIR": str(folder / str(number))}, stdout=log, stderr=log and subprocess.STDOUT
    )


def run(folder):
    """Run all; return the worst of the statuses."""
    for name in ("taken", "1", "2", "3"):
        (folder / name).mkdir()
        (folder / name).chmod(0o1777)  # as /tmp is: other users enter it
    folder.chmod(0o755)
    runs = [begin(folder, 3, "tests/test_clusters.py"), begin(folder, 2), begin(folder, 1)]
    try:
        statuses = [each.wait() for each in reversed(runs)]
    except KeyboardInterrupt:
        for each in runs:
            each.send_signal(signal.SIGINT)
        statuses = [each.wait() for each in runs]
    for number in (2, 3):
        print((folder / f"log{number}").read_text(errors="replace"), end="", flush=True)
    return max(statuses, key=abs)


def passes_alone(failed):
    """Return whether the tests of a file that `tests.shares` wrote are few and pass by themselves; tell of them."""
    names = failed.read_text().splitlines() if failed.exists() else []
    if not 0 < len(names) <= MOST_AGAIN or subprocess.run([*PYTEST, f"@{failed}"]).returncode:
        return False
    for name in names:
        print(f"test: UNSTEADY, failed above and passed alone: {name}", flush=True)
    return True


def main():
    """Run as a script; return the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        status = run(folder)
        if status == TESTS_FAILED and passes_alone(folder / "taken/failed"):
            return 0
        return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
