"""pandas: groups of a frame, each summed up by a worker."""

import sys

import numpy as np
import pandas as pd
import procession as multiprocessing


def summary(group):
    name, frame = group
    return name, float(frame["value"].sum()), frame.describe()


if __name__ == "__main__":
    frame = pd.DataFrame({"name": np.arange(400) % 4, "value": np.arange(400.0)})
    groups = list(frame.groupby("name"))
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        for (name, total, table), group in zip(pool.map(summary, groups), groups, strict=True):
            assert (name, total) == summary(group)[:2] and table.equals(summary(group)[2])
