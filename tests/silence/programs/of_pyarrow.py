"""pyarrow: tables as arguments and results; a library with threads, so never forked once they are there."""

import sys

import procession as multiprocessing
import pyarrow as pa
import pyarrow.compute as pc


def total(table):
    return pc.sum(table["value"]).as_py()


def make(start):
    return pa.table({"value": list(range(start, start + 10))})


if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        tables = pool.map(make, range(4))
        assert all(found.equals(make(start)) for start, found in enumerate(tables))
        assert pool.map(total, tables) == [sum(range(start, start + 10)) for start in range(4)]
