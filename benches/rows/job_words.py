"""A real job: the words of the standard library's sources, with the pool's start and end."""

import sysconfig
from pathlib import Path

from benches.workload import WORKERS, Workload, main, seconds
from examples.word_count import count_words, total

ROW = Workload("job: words of the standard library", "s", higher_is_better=False)


def count(library, files):
    """Counts them."""
    with library.context.Pool(WORKERS) as pool:
        return total(pool.imap_unordered(count_words, files, chunksize=16))


def measure(library):
    """Seconds."""
    folder = Path(sysconfig.get_path("stdlib"))
    files = [str(path) for path in sorted(folder.rglob("*.py")) if "site-packages" not in path.parts]
    files = files[: library.count(len(files))]
    for file in files:
        Path(file).read_bytes()
    return seconds(count, library, files)


if __name__ == "__main__":
    main(measure)
