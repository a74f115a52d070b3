"""The bar as tqdm draws it."""

import threading

from tqdm import tqdm

from procession._progress.words import line, rows

__all__ = ["Terminal"]


class _Bar(tqdm):
    """A bar without a thread that looks after it, and without a lock between processes."""

    monitor_interval = 0
    _lock = threading.RLock()


class Terminal:
    """Lines that are drawn anew at the end of a terminal.

    Args:
        stream: what writes to it.
    """

    def __init__(self, stream):
        self._stream = stream
        self._bars = []

    def draw(self, all_progress):
        """Draw maps."""
        lines = rows(all_progress)
        while len(self._bars) > len(lines):
            self._bars.pop().close()
        while len(self._bars) < len(lines):
            bar = _Bar(
                total=1.0, file=self._stream, leave=False, position=len(self._bars), dynamic_ncols=True, delay=1e9
            )
            bar.delay = 0
            self._bars.append(bar)
        width = max((len(row.name) for row in lines), default=0)
        for bar, row in zip(self._bars, lines, strict=True):
            self._fill(bar, row, width)
            bar.refresh()

    def _fill(self, bar, row, width):
        name = row.name.ljust(width)
        texts = "  ".join(text for text in (row.counts, *row.facts) if text)
        name, texts = (text.replace("{", "{{").replace("}", "}}") for text in (name, texts))
        bar.bar_format = f"{name} {texts}" if row.share is None else f"{name} |{{bar:30}}| {texts}"
        bar.n = row.share or 0.0

    def above(self, texts):
        """Write lines above what is drawn."""
        _Bar.write("\n".join(texts), file=self._stream)

    def keep(self, progress):
        """Write the line of a map that has ended above those that go on."""
        self.above([line(progress)])

    def end(self, all_progress):
        """Draw for the last time."""
        self.draw(all_progress)
        while len(self._bars) > 1:
            self._bars.pop().close()
        if self._bars:
            self._bars[0].leave = True
            self._bars.pop().close()
