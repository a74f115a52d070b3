"""The short code of small arrays, damaged; apart, as children need not load what makes the examples."""

import contextlib
import pickle

from hypothesis import given, settings, strategies as st
from procession import _procession
from test_numeric import TYPES, numbers_of, same

DAMAGED = ValueError, TypeError, MemoryError, OverflowError, pickle.UnpicklingError, EOFError

arrays = st.builds(
    lambda char, shape: numbers_of(char, tuple(shape)),
    st.sampled_from(TYPES),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
)


@settings(max_examples=1000, deadline=None, database=None, derandomize=True)
@given(array=arrays, at=st.integers(0, 60), put=st.binary(max_size=9), cut=st.integers(0, 12))
def test_an_array_that_was_damaged_is_a_value_or_a_known_error(array, at, put, cut):
    code = _procession.encode_simple(array)
    back, taken = _procession.try_decoders(code + b"after")
    assert same(back, array) and taken == len(code)
    at %= len(code) + 1
    damaged = code[:at] + put + code[at + cut :]
    with contextlib.suppress(*DAMAGED):
        assert _procession.try_decoders(damaged)[1] <= len(damaged)
