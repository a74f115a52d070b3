"""A real job: the primes below a million, with the pool's start and end."""

from benches.workload import WORKERS, Workload, main, seconds
from examples.primes import is_prime

ROW = Workload("job: primes below 10^6", "s", higher_is_better=False)
LIMIT = 1_000_000


def count(library):
    """Counts them."""
    with library.context.Pool(WORKERS) as pool:
        return sum(pool.map(is_prime, range(library.count(LIMIT))))


def measure(library):
    """Seconds."""
    return seconds(count, library)


if __name__ == "__main__":
    main(measure)
