"""The bar as rich draws it."""

from rich.console import Console
from rich.live import Live
from rich.text import Text

from procession._progress.words import bar, rows

__all__ = ["Terminal"]

MOST_BAR, LEAST_BAR = 40, 8


class _Console(Console):
    """Leaves the cursor where it can be seen: who is killed cannot bring it back."""

    def show_cursor(self, show=True):
        """Return that nothing was changed."""
        return False


class Terminal:
    """Lines that are drawn anew at the end of a terminal.

    Args:
        stream: what writes to it.
    """

    def __init__(self, stream):
        self._console = _Console(file=stream)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._live.start()

    def draw(self, all_progress):
        """Draw maps."""
        self._live.update(self._text(all_progress), refresh=True)

    def above(self, texts):
        """Write lines above what is drawn."""
        # All at once: what is drawn is drawn again below each text.
        self._console.print(Text("\n").join(map(Text.from_ansi, texts)), soft_wrap=True, highlight=False)

    def keep(self, progress):
        """Write the line of a map that has ended above those that go on."""
        self._console.print(self._text([progress]))

    def end(self, all_progress):
        """Draw for the last time."""
        self._live.update(self._text(all_progress))
        self._live.stop()

    def _text(self, all_progress):
        lines = rows(all_progress)
        if not lines:
            return Text()
        names = max(len(row.name) for row in lines)
        counts = max(len(row.counts) for row in lines if not row.is_task)
        texts = max((len("  ".join(row.facts)) for row in lines), default=0)
        width = min(MOST_BAR, max(LEAST_BAR, self._console.width - names - counts - texts - 5))
        answer = Text(no_wrap=True, overflow="ellipsis", end="")
        for number, row in enumerate(lines):
            answer.append("\n" if number else "")
            answer.append(row.name.ljust(names + 1), "dim" if row.is_task else "bold")
            if row.share is not None:
                done, rest = bar(row.share, width)
                color = "cyan" if row.is_task else "red" if row.failed else "green"
                answer.append(done, color)
                answer.append(rest, "bright_black")
                answer.append(" ")
            answer.append(row.counts.rjust(counts) + "  ")
            answer.append("  ".join(row.facts), "dim" if row.is_task else "")
        return answer
