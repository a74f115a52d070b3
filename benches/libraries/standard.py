"""Libraries with multiprocessing's own interface."""

import importlib

from benches.libraries import LIBRARIES, NotOffered
from benches.libraries.part import START_METHODS  # noqa: F401  part of an adapter


class Context:
    """A context as the library has it.

    Attributes:
        module: what a program imports.
        chunks_of_many: None, as these libraries find the size of chunks.
    """

    chunks_of_many = None

    def __init__(self, name, start_method):
        self.module = LIBRARIES[name].module
        self._library = importlib.import_module(self.module)
        self._context = self._library.get_context(start_method)

    def __getattr__(self, name):
        try:
            found = getattr(self._context, name)
        except AttributeError:
            raise NotOffered(f"no {name}")
        setattr(self, name, found)
        return found

    def shared_pool(self, workers):
        """The library's pool that stays, where it has one."""
        if hasattr(self._library, "shared_pool"):
            return self._library.shared_pool(workers, context=self._context)
        return self._context.Pool(workers)


context = Context
