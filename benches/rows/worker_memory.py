"""What an idle worker adds to the memory in use, in a program that imports next to nothing."""

from benches.aims import Times
from benches.workload import Workload, main, number_of

ROW = Workload(
    "memory an idle worker adds (PSS, pool of 8)",
    "MiB",
    higher_is_better=False,
    each_start_method=True,
    whole=True,
    aim={"fork": Times(1.25), "forkserver": Times(2.5)},
)
WORKERS = 8


def measure(library):
    """MiB: what parent and workers have now, less what the parent had before, by the number of workers."""
    library.context.Pool  # noqa: B018  a library without it says so here
    return number_of("bare_memory.py", library.name, library.start_method, WORKERS)


if __name__ == "__main__":
    main(ROW, measure)
