"""A real job: the words of the standard library's sources, with the pool's start and end."""

import sysconfig
from pathlib import Path

from benches.aims import TimesBest
from benches.workload import WORKERS, Workload, in_bare_processes, main, seconds
from examples.word_count import count_words, total

ROW = Workload("job: words of the standard library", "s", higher_is_better=False, whole=True, aim=TimesBest(1.11))


def count(library, files):
    """Counts them."""
    with library.context.Pool(WORKERS) as pool:
        return total(pool.imap_unordered(count_words, files, chunksize=16))


def measure(library):
    """Seconds."""
    return seconds(count, library, files_of())


def limit(_):
    """Seconds of bare processes that give no answers."""
    return seconds(in_bare_processes, count_words, files_of())


def files_of():
    """The files' names; their contents have been read."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = [str(path) for path in sorted(folder.rglob("*.py")) if "site-packages" not in path.parts]
    for file in files:
        Path(file).read_bytes()
    return files


if __name__ == "__main__":
    main(ROW, measure, limit)
