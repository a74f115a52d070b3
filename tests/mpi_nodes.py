"""The MPI job that this process is the first rank of: what `python -m procession.mpi` has made nodes of."""

import procession


class Cluster:
    """The ranks beside this one.

    Args:
        folder: is not needed.
    """

    engine = "mpi"

    def __init__(self, folder):
        self.nodes = procession.get_context("mpi")._engine().places()

    def close(self):
        """The ranks end with this process."""
