"""Children import test modules without pytest, and get pytest where they use it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("number", [1, 2])
def size(number):
    return len(vars(sys.modules["pytest"]))


def raises():
    with pytest.raises(ValueError, match="invalid literal"):
        int("")
    with pytest.raises(ZeroDivisionError):
        1 / 0  # noqa: B018
    return pytest.approx(1.0) == 1.0 + 1e-9


PROGRAM = """
import sys
import procession, pytest
sys.path[:0] = sys.argv[1:]
from tests import test_stand_in as here
for method in procession.get_all_start_methods():
    with procession.get_context(method).Pool(1) as pool:
        print(pool.apply(here.size, (1,)) < 20 or method == "fork", pool.apply(here.raises), len(vars(pytest)) > 50)
"""


def test_pytest_is_found_though_the_path_of_the_stand_in_is_relative():
    program = "import sys; sys.path[:0] = ['tests/children']; import pytest as it; print(len(vars(it)) < 20, it.raises)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert ended.stdout.startswith("True <function raises") and not ended.stderr, ended


def test_children_load_pytest_only_where_they_use_it():
    """In a program of its own: what other tests have done to this process travels to children."""
    command = [sys.executable, "-c", PROGRAM, ROOT, ROOT / "tests/children"]
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (ended.stdout, ended.stderr) == ("True True True\n" * 3, "")
