"""Progress below the cell of a notebook: one display, whose last state is saved with it."""

from html import escape

from procession._pool import html
from procession._progress.words import rows

__all__ = ["Notebook", "page"]


class Notebook:
    """Shows HTML, and shows it anew: no widgets, whose messages get lost in threads and forks."""

    interval = 0.2
    is_on_terminal = False

    def __init__(self):
        self._display = None

    def draw(self, progress):
        """Show a `Progress`."""
        from IPython.display import HTML, display

        shown = HTML(page(progress))
        if self._display is None:
            self._display = display(shown, display_id=True) or False
        elif self._display:
            self._display.update(shown)

    def close(self):
        """What was shown stays."""


def page(progress):
    """Return a `Progress` as HTML without scripts."""
    return html.table(_line(row) for row in rows([progress]))


def _line(row):
    bar = "" if row.share is None else html.bar(row.share, row.failed)
    return [escape(row.name).replace("  ", "&emsp;"), bar, escape(row.counts), escape(" · ".join(row.facts))]
