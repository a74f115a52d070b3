"""xarray: labelled arrays as arguments and results."""

import sys

import numpy as np
import procession as multiprocessing
import xarray as xr


def mean(array):
    return array.mean("time")


if __name__ == "__main__":
    array = xr.DataArray(np.arange(24.0).reshape(4, 6), dims=("place", "time"), name="heat")
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        parts = [array.isel(place=[place]) for place in range(4)]
        assert xr.concat(pool.map(mean, parts), "place").equals(array.mean("time"))
