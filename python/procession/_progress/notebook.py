"""Progress below the cell of a notebook: one display, whose last state is saved with it."""

from html import escape

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
    cells = "".join(_line(row) for row in rows([progress]))
    return f'<table style="border:0;font-family:monospace;font-size:90%">{cells}</table>'


def _line(row):
    bar = ""
    if row.share is not None:
        color = "#c0392b" if row.failed else "#2e8b57"
        bar = (
            f'<svg width="200" height="10"><rect width="200" height="10" rx="2" fill="#8884"/>'
            f'<rect width="{200 * row.share:.1f}" height="10" rx="2" fill="{color}"/></svg>'
        )
    texts = [escape(row.name).replace("  ", "&emsp;"), bar, escape(row.counts), escape(" · ".join(row.facts))]
    style = 'style="text-align:left;border:0;padding:1px 8px;background:none;white-space:nowrap"'
    return "<tr>" + "".join(f"<td {style}>{text}</td>" for text in texts) + "</tr>"
