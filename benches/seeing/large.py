"""A recorded run of ten million tasks: what the recorder uses, how large its page is, how soon a browser has that."""

import os
import sys
import tempfile
import time
from pathlib import Path

import procession

__all__ = ["main"]

TASKS = 10_000_000
PARTS = 10


def same(number):
    """A task."""
    return number


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main(quick):
    """Record, make the page, and open it; return the exit code."""
    count = TASKS // (100 if quick else 1) // PARTS
    with tempfile.TemporaryDirectory() as folder:
        file, page = os.path.join(folder, "run.procession"), os.path.join(folder, "page.html")
        with procession.recording(file) as run, procession.Pool(2) as pool:
            print(f"{count * PARTS:,} tasks in {PARTS} maps of {count:,}\n")
            print("| after tasks | memory of the program | file |\n|---|---|---|")
            for part in range(PARTS):
                # Lazily: the list of results would be what grows.
                assert sum(1 for _ in pool.imap(same, range(count), chunksize=1000)) == count
                size = os.path.getsize(file) / 1024
                print(f"| {(part + 1) * count:,} | {_resident():.1f} MiB | {size:,.0f} KiB |", flush=True)
        began = time.perf_counter()
        run.save(page)
        made = time.perf_counter() - began
        tasks = sum(function.tasks for function in run.functions())
        print(f"\npage of {tasks:,} tasks: {os.path.getsize(page):,} bytes, made in {made:.2f} s")
        print(_opened(folder, page))
    return 0


def _opened(folder, page):
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    import browser

    if browser.found() is None:
        return "no Chromium here to open it"
    with browser.Browser(os.path.join(folder, "chromium")) as chromium:
        chromium.size(1200, 900)
        times = [chromium.open(f"file://{page}") for _ in range(3)]
    return "drawn in Chromium after " + ", ".join(f"{seconds:.2f} s" for seconds in times)
