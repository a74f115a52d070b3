"""What contexts of clusters have in common: pools on the nodes, and clear words for what one machine alone has."""

from procession.context import BaseContext

TYPE_CHECKING = False  # checkers take it for true; `typing` would be loaded for it alone
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Unpack

    from procession.pool import Pool as PoolClass, PoolOptions


__all__ = ["ClusterContext"]

# What is refused, and what to use in its place.
_MEMORY = "memory is shared within one machine only; give large read-only data to the tasks, or to the initializer"
_OBJECTS = "it works between the processes of one machine; return values from tasks, or use what the cluster has"
_REFUSED = {
    **dict.fromkeys(("RawArray", "RawValue", "Array", "Value"), _MEMORY),
    **dict.fromkeys(("Queue", "JoinableQueue", "SimpleQueue", "Pipe", "Manager"), _OBJECTS),
    **dict.fromkeys(("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Event", "Barrier"), _OBJECTS),
    "Process": "it runs on this machine; have a pool, or get a process by get_context('spawn')",
}


class ClusterContext(BaseContext):
    """A context whose pools work on the nodes of a cluster; `_name` and `crew` are its engine's."""

    def cpu_count(self) -> int:
        """Return how many CPUs the nodes of the cluster have for tasks."""
        engine = self._engine()
        try:
            return sum(place.cpus for place in engine.places())
        finally:
            engine.close()

    def Pool(
        self,
        processes: "int | None" = None,
        initializer: "Callable[..., object] | None" = None,
        initargs: "Iterable[Any]" = (),
        maxtasksperchild: "int | None" = None,
        **options: "Unpack[PoolOptions]",
    ) -> "PoolClass":
        """Return a pool of workers on the nodes, as many as these have CPUs if `processes` is None; `options` are those
        of `procession.pool.Pool`."""
        count = processes if processes is not None else max(1, self.cpu_count())
        return super().Pool(count, initializer, initargs, maxtasksperchild, **options)

    def _engine(self):
        """Return an `engine.Engine`, connected."""
        raise NotImplementedError


def _refusal(name, reason):
    def refuse(self, *args, **kwargs):
        raise NotImplementedError(f"a cluster has no {name}: {reason}")

    refuse.__name__ = refuse.__qualname__ = name
    refuse.__doc__ = f"Raise NotImplementedError: {reason}."
    return refuse


for _refused, _reason in _REFUSED.items():
    setattr(ClusterContext, _refused, _refusal(_refused, _reason))
