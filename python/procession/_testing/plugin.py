"""What pytest loads wherever procession is installed: fixtures, and settings. What they need is loaded when used."""

import pytest

TYPE_CHECKING = False  # checkers take it for true
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from procession.testing import Fault

__all__ = ["full_memory", "kill_worker_at", "nothing_left", "slow_worker"]

_SETTING = "procession_strict"
_SECONDS = "procession_seconds"
_TRACE = "procession_trace"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Have pytest know the settings."""
    parser.addini(_SETTING, "whether each test has to leave nothing behind: the fixture nothing_left", "bool", False)
    parser.addini(_SECONDS, "how many seconds that waits for what is about to end", default="5")
    parser.addini(_TRACE, "whether memory is traced there, to tell where what is left was made", "bool", False)


def pytest_configure(config: pytest.Config) -> None:
    """Have each test leave nothing where that is asked for; elsewhere there is no fixture that all tests have."""
    if config.getini(_SETTING):
        config.pluginmanager.register(_Strict(), _SETTING)


class _Strict:
    @pytest.fixture(autouse=True)
    def _procession_strict(self, nothing_left: None) -> None:
        """What each test has then; a module or class that is let off has a fixture `nothing_left` of its own."""


@pytest.fixture
def nothing_left(request: pytest.FixtureRequest) -> "Iterator[None]":
    """Fail a test that leaves a process, a zombie, a descriptor, a thread or a name in shared memory."""
    from procession import testing

    text = request.config.getini(_SECONDS)
    try:
        block = testing.nothing_left(float(text), trace=request.config.getini(_TRACE))
    except ValueError as error:
        raise pytest.UsageError(f"{_SECONDS} is to be a number of seconds, 0 or more, not {text!r}") from error
    with block:
        yield


def _fixture(name: str) -> "Callable[..., Any]":
    def made() -> "Iterator[Callable[..., Fault]]":
        import contextlib

        from procession import testing

        with contextlib.ExitStack() as stack:
            yield lambda *args, **kwargs: stack.enter_context(getattr(testing, name)(*args, **kwargs))

    made.__doc__ = f"`procession.testing.{name}`, whose block begins where it is called and ends with the test."
    made.__name__ = name
    return pytest.fixture(made)


kill_worker_at = _fixture("kill_worker_at")
slow_worker = _fixture("slow_worker")
full_memory = _fixture("full_memory")
