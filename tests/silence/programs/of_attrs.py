"""attrs: classes with slots as arguments and results."""

import sys

import attrs
import procession as multiprocessing


@attrs.frozen
class Point:
    x: float
    y: float = 0.0


def moved(point):
    return attrs.evolve(point, y=point.y + 1)


if __name__ == "__main__":
    points = [Point(float(number)) for number in range(10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(moved, points) == [moved(point) for point in points]
