"""What an engine of a cluster supplies to a pool, which is all that a new one has to define."""

__all__ = ["Engine", "Place"]


class Place:
    """A node that may have an agent.

    Args:
        key: the name that the engine knows it by.
        cpus: how many workers keep it busy.
    """

    def __init__(self, key, cpus):
        self.key = key
        self.cpus = cpus


class Engine:
    """An engine, as one pool uses it. Whatever is called back is called from any thread.

    Attributes:
        name: of the engine, for texts.
    """

    name = ""

    def places(self):
        """Return the nodes that are there now, as a list of `Place`."""
        raise NotImplementedError

    def host(self):
        """Return the address of this machine by which the nodes reach it.

        Raises:
            NotImplementedError: the engine does not know.
        """
        raise NotImplementedError(f"{self.name} does not say by which address nodes reach the program: share nothing")

    def start(self, place, terms):
        """Start an agent, an `agent.Agent` of these terms, on a node and return the handle of it; waits for that.

        Raises:
            Exception: it cannot be started.
        """
        raise NotImplementedError

    def post(self, handle, number, message, done):
        """Have the agent `post(number, message)`; then `done(error)` is called, with None where all went well."""
        raise NotImplementedError

    def collect(self, handle, acked, done):
        """Have the agent `collect(acked)`; then `done(found, error)` is called."""
        raise NotImplementedError

    def drop(self, handle):
        """End an agent, and let go of it, whatever has become of its node; wait a few seconds at most."""
        raise NotImplementedError

    def watch(self, came, gone):
        """Have `came()` called when there are more nodes, and `gone(key)` when one is lost, if the engine tells."""

    def is_over(self):
        """Return whether the cluster is gone, as a whole."""
        return False

    def close(self):
        """Let go of the engine."""
