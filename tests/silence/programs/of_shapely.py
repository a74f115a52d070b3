"""shapely: geometries as arguments and results."""

import sys

import procession as multiprocessing
import shapely


def grown(shape):
    return shape.buffer(1.0)


if __name__ == "__main__":
    points = [shapely.Point(number, number) for number in range(10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(grown, points) == [grown(point) for point in points]
