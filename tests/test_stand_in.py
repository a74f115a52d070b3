"""Children import test modules without pytest, and get pytest where they use it."""

import sys

import pytest


@pytest.mark.parametrize("number", [1, 2])
def size(number):
    return len(vars(sys.modules["pytest"]))


def raises():
    with pytest.raises(ValueError, match="invalid literal"):
        int("")
    with pytest.raises(ZeroDivisionError):
        1 / 0  # noqa: B018
    return pytest.approx(1.0) == 1.0 + 1e-9


def test_children_load_pytest_only_where_they_use_it(context):
    with context.Pool(1) as pool:
        assert pool.apply(size, (1,)) < 20 or context.get_start_method() == "fork"
        assert pool.apply(raises)
        assert len(vars(pytest)) > 50
    pool.join()
