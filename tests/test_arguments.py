"""Numbers that make no sense are refused where they are given, by an error that names the argument and the value."""

import procession
import pytest
from procession import futures, shared_memory

CALLS = {
    "the number of processes": lambda value: procession.Pool(value),
    "max_workers": futures.ProcessPoolExecutor,
    "parties": lambda value: procession.Barrier(value),
    "maxsize": lambda value: procession.Queue(value),
    "'size'": lambda value: shared_memory.SharedMemory(create=True, size=value),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("value", ["7a", 1.5, [3]])
def test_what_is_no_whole_number_is_a_type_error(name, value):
    with pytest.raises(TypeError) as caught:
        CALLS[name](value)
    assert name in str(caught.value) and repr(value) in str(caught.value)


@pytest.mark.parametrize("name", ["the number of processes", "max_workers", "parties", "'size'"])
def test_less_than_nothing_is_a_value_error(name):
    with pytest.raises(ValueError) as caught:
        CALLS[name](-3)
    assert name in str(caught.value) and "-3" in str(caught.value)


@pytest.mark.parametrize("name", ["the number of processes", "max_workers"])
@pytest.mark.parametrize("value", [1025, 10**30])
def test_more_workers_than_a_pool_has_room_for_are_refused_before_any_starts(name, value):
    with pytest.raises(ValueError, match="must be 1024 or less"):
        CALLS[name](value)
    assert procession.active_children() == []
