"""What procession aims at in a row: so many times better than another library, or a number of its own."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Times:
    """So many times better than the standard library."""

    times: float

    def __str__(self):
        return f"{self.times:g}x"

    def met(self, _ours, beside_standard, _beside_best):
        """Says whether it is met; None when what it needs was not measured."""
        return None if beside_standard is None else beside_standard >= self.times


@dataclass(frozen=True)
class TimesBest:
    """So many times better than the best of all other libraries."""

    times: float

    def __str__(self):
        return f"{self.times:g}x the best"

    def met(self, _ours, _beside_standard, beside_best):
        """Says whether it is met; None when what it needs was not measured."""
        return None if beside_best is None else beside_best >= self.times


@dataclass(frozen=True)
class AtMost:
    """A number that is not to be exceeded, in the unit of the row."""

    number: float

    def __str__(self):
        return f"<= {self.number:g}"

    def met(self, ours, _beside_standard, _beside_best):
        """Says whether it is met; None when what it needs was not measured."""
        return None if ours is None else ours <= self.number


@dataclass(frozen=True)
class AtLeast:
    """A number that is to be reached, in the unit of the row."""

    number: float

    def __str__(self):
        return f">= {self.number:g}"

    def met(self, ours, _beside_standard, _beside_best):
        """Says whether it is met; None when what it needs was not measured."""
        return None if ours is None else ours >= self.number
