"""A real job: the tiles of a large image are filtered with numpy, with the pool's start and end."""

from benches.aims import Times
from benches.workload import WORKERS, Workload, in_bare_processes, main, seconds

ROW = Workload("job: numpy filter over image tiles", "s", higher_is_better=False, whole=True, aim=Times(2.27))
SIDE = 8192
TILE = 512


def brighten(tile):
    """Stretches the contrast of a tile: a filter that is quick beside the transport of its data."""
    import numpy

    wide = tile.astype(numpy.int16)
    return numpy.clip((wide - 64) * 2, 0, 255).astype(numpy.uint8)


def filter_all(library, image_tiles):
    """Filters all tiles."""
    with library.context.Pool(WORKERS) as pool:
        return pool.map(brighten, image_tiles, chunksize=1)


def measure(library):
    """Seconds."""
    return seconds(filter_all, library, tiles())


def limit(_):
    """Seconds of bare processes that find the tiles in their memory and give no answers."""
    return seconds(in_bare_processes, brighten, tiles())


def tiles():
    """The tiles of an image of noise."""
    import numpy

    from examples.image_filter import tiles_of

    image = numpy.random.default_rng(7).integers(0, 256, (SIDE, SIDE), dtype=numpy.uint8)
    return tiles_of(image, TILE)


if __name__ == "__main__":
    main(ROW, measure, limit)
