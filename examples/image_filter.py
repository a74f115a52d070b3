"""Blurs the tiles of a large image with numpy, once serially and once in a pool, and compares."""

import argparse
import time

import numpy as np
import procession as multiprocessing

ROUNDS = 20


def blur(tile):
    """Averages every pixel with its eight neighbours, many times; the edge is repeated."""
    image = tile.astype(np.float32)
    for _ in range(ROUNDS):
        wide = np.pad(image, 1, mode="edge")
        rows = wide[:-2] + wide[1:-1] + wide[2:]
        image = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]) / 9
    return image.astype(np.uint8)


def tiles_of(image, side):
    """Cuts the image into squares."""
    rows, columns = image.shape
    return [image[y : y + side, x : x + side] for y in range(0, rows, side) for x in range(0, columns, side)]


def main():
    command = argparse.ArgumentParser(description=__doc__)
    command.add_argument("--size", type=int, default=4096, help="pixels along an edge (default: %(default)s)")
    command.add_argument("--tile", type=int, default=512, help="pixels along an edge of a tile (default: %(default)s)")
    command.add_argument("--workers", type=int, help="worker processes (default: one for each core)")
    options = command.parse_args()
    image = np.random.default_rng(7).integers(0, 256, (options.size, options.size), dtype=np.uint8)
    tiles = tiles_of(image, options.tile)

    started = time.perf_counter()
    serially = list(map(blur, tiles))
    serial_s = time.perf_counter() - started

    started = time.perf_counter()
    with multiprocessing.Pool(options.workers) as pool:
        in_pool = pool.map(blur, tiles, chunksize=1)
    pool_s = time.perf_counter() - started

    print(f"{len(tiles)} tiles of {options.tile} x {options.tile} pixels, blurred {ROUNDS} times")
    print(f"serial {serial_s:.2f} s, pool {pool_s:.2f} s: {serial_s / pool_s:.2f} times as fast")
    assert all(map(np.array_equal, serially, in_pool)), "the pool and the serial loop blur differently"
    print("The two images agree.")


if __name__ == "__main__":
    main()
