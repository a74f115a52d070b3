"""Progress that a program's own function gets."""

import sys
import traceback

__all__ = ["Called"]


class Called:
    """Calls a function with each `Progress`; one that raises is reported once and not called again."""

    interval = 0.1
    is_on_terminal = False

    def __init__(self, function):
        self._function = function

    def draw(self, progress):
        """Call the function."""
        if self._function is None:
            return
        try:
            self._function(progress)
        except Exception as error:
            function, self._function = self._function, None
            if sys.stderr is not None:
                print(f"progress={function!r} raised, and is not called again:", file=sys.stderr)
                traceback.print_exception(error)

    def close(self):
        """Nothing is to be taken back."""
