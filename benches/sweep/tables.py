"""Values of numerical libraries, as far as these are installed: each function gives its kind's i-th value."""

from benches.sweep.plain import kind

try:
    import numpy
except ImportError:
    numpy = None
try:
    import pandas
except ImportError:
    pandas = None
try:
    import pyarrow
except ImportError:
    pyarrow = None
try:
    import polars
except ImportError:
    polars = None
try:
    import scipy.sparse
except ImportError:
    scipy = None
try:
    from PIL import Image
except ImportError:
    Image = None

if numpy:
    POINT = numpy.dtype([("x", "f8"), ("n", "i4")])

    @kind()
    def numpy_real(i):
        return numpy.float64(i * 0.5)

    @kind()
    def numpy_int(i):
        return numpy.int64(i)

    @kind()
    def numpy_time(i):
        return numpy.datetime64(i, "s")

    @kind()
    def array_0d(i):
        return numpy.array(i * 0.5)

    @kind()
    def array_0d_int(i):
        return numpy.array(i)

    @kind()
    def numpy_bool(i):
        return numpy.bool_(i % 2)

    @kind()
    def numpy_record(i):
        return numpy.array([(i, i)], dtype=POINT)[0]

    @kind()
    def array_10(i):
        return numpy.arange(i, i + 10.0)

    @kind(8000)
    def array_1k(i):
        return numpy.arange(i, i + 1000.0)

    @kind(800_000)
    def array_100k(i):
        return numpy.arange(i, i + 100_000.0)

    @kind(8_000_000)
    def array_1m(i):
        return numpy.arange(i, i + 1_000_000.0)

    @kind(80_000)
    def array_of_columns(i):
        return numpy.asfortranarray(numpy.arange(i, i + 10_000.0).reshape(100, 100))

    @kind(80_000)
    def array_of_steps(i):
        return numpy.arange(i, i + 20_000.0)[::2]

    @kind(1000)
    def array_of_bools(i):
        return numpy.arange(1000) % 3 == i % 3

    @kind(4000)
    def array_of_small_reals(i):
        return numpy.arange(i, i + 1000, dtype="f4")

    @kind(16_000)
    def array_of_complex(i):
        return numpy.arange(i, i + 1000.0) * 1j

    @kind(8000)
    def array_of_other_bytes(i):
        return numpy.arange(i, i + 1000, dtype=">i8")

    @kind(8000)
    def array_of_times(i):
        return numpy.arange(i, i + 1000).astype("M8[s]")

    @kind(100)
    def array_empty(i):
        return numpy.empty((0, 3))

    @kind(800_000)
    def array_of_records_100k(i):
        return numpy.zeros(50_000, dtype=POINT)

    @kind(2000)
    def list_of_arrays(i):
        return [numpy.arange(i, i + 10.0) for _ in range(10)]

    @kind(1000)
    def pair_of_array_and_number(i):
        return numpy.arange(i, i + 100.0), i

    @kind(4000)
    def array_of_texts(i):
        return numpy.array([f"text {i}"] * 100)

    @kind(2000)
    def array_of_objects(i):
        return numpy.array([i, "a", None, 1.5] * 10, dtype=object)

    @kind(1200)
    def array_of_records(i):
        return numpy.array([(i, i)] * 100, dtype=POINT)

    @kind(9000)
    def masked_array(i):
        return numpy.ma.masked_array(numpy.arange(i, i + 1000.0), mask=numpy.arange(1000) % 2 == 0)

    @kind(8000)
    def arrays_in_a_dict(i):
        return {"x": numpy.arange(i, i + 500.0), "y": numpy.arange(500)}


if pandas:

    @kind(20_000)
    def frame_1k(i):
        return pandas.DataFrame({"a": numpy.arange(i, i + 1000.0), "b": numpy.arange(1000)})

    @kind(2_000_000)
    def frame_100k(i):
        return pandas.DataFrame({"a": numpy.arange(i, i + 100_000.0), "b": numpy.arange(100_000)})

    @kind(8000)
    def series_1k(i):
        return pandas.Series(numpy.arange(i, i + 1000.0))

    @kind(30_000)
    def frame_of_texts(i):
        return pandas.DataFrame({"a": [f"text {number}" for number in range(i, i + 300)], "b": numpy.arange(300)})

    @kind(2000)
    def series_of_categories(i):
        return pandas.Series(["a", "b", "c"] * 100, dtype="category")

    @kind(9000)
    def index_of_times(i):
        return pandas.date_range("2026-01-01", periods=1000, freq="s")

    @kind()
    def timestamp(i):
        return pandas.Timestamp(i, unit="s")


if pyarrow:

    @kind(16_000)
    def arrow_table(i):
        return pyarrow.table({"a": numpy.arange(i, i + 1000.0), "b": numpy.arange(1000)})

    @kind(8000)
    def arrow_array(i):
        return pyarrow.array(numpy.arange(i, i + 1000.0))

    @kind(16_000)
    def arrow_batch(i):
        return pyarrow.record_batch({"a": numpy.arange(i, i + 1000.0), "b": numpy.arange(1000)})


if polars:

    @kind(16_000)
    def polars_frame(i):
        return polars.DataFrame({"a": numpy.arange(i, i + 1000.0), "b": numpy.arange(1000)})

    @kind(8000)
    def polars_series(i):
        return polars.Series("a", numpy.arange(i, i + 1000.0))


if scipy:

    @kind(20_000)
    def sparse_matrix(i):
        return scipy.sparse.csr_matrix((numpy.arange(i, i + 1000.0), (numpy.arange(1000), numpy.arange(1000))))

    @kind(20_000)
    def sparse_coordinates(i):
        return scipy.sparse.coo_array((numpy.arange(i, i + 1000.0), (numpy.arange(1000), numpy.arange(1000))))


if Image:

    @kind(30_000)
    def picture(i):
        return Image.new("RGB", (100, 100), (i % 256, 0, 0))

    @kind(10_000)
    def picture_of_greys(i):
        return Image.new("L", (100, 100), i % 256)
