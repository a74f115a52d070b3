"""polars: frames as arguments and results; a library with threads, so never forked."""

import sys

import polars as pl
import procession as multiprocessing


def doubled(frame):
    return frame.with_columns(twice=pl.col("value") * 2)


def chunks(frame):
    return frame.n_chunks()


if __name__ == "__main__":
    method = "spawn" if sys.argv[1] == "fork" else sys.argv[1]
    frames = [pl.DataFrame({"value": list(range(start, start + 10))}) for start in range(4)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        for found, frame in zip(pool.map(doubled, frames), frames, strict=True):
            assert found.equals(doubled(frame))
        # A frame of large chunks: it keeps them, and the sender's own is left as it is.
        chunked = pl.concat([pl.DataFrame({"value": range(50_000)})] * 2, rechunk=False)
        assert pool.apply(chunks, (chunked,)) == chunks(chunked) == 2
