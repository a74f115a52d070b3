"""A real job: the primes below a million, with the pool's start and end."""

from benches.aims import TimesBest
from benches.workload import WORKERS, Workload, in_bare_processes, main, seconds
from examples.primes import is_prime

ROW = Workload("job: primes below 10^6", "s", higher_is_better=False, whole=True, aim=TimesBest(1))
LIMIT = 1_000_000


def count(library):
    """Counts them."""
    with library.context.Pool(WORKERS) as pool:
        return sum(pool.map(is_prime, range(LIMIT), library.context.chunks_of_many))


def measure(library):
    """Seconds."""
    return seconds(count, library)


def limit(_):
    """Seconds of bare processes that give no answers."""
    return seconds(in_bare_processes, is_prime, range(LIMIT))


if __name__ == "__main__":
    main(ROW, measure, limit)
