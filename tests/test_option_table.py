"""The table of `docs/pools.md` of which method takes which option, walked cell by cell."""

import contextlib
import os
import random
import time
from pathlib import Path

import procession
import pytest
from procession._pool.journal import scan
from procession._pool.seeds import Seed
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool

LIMIT_S = 60
PAGE = Path(__file__).parent.parent / "docs" / "pools.md"
DRAWN = Seed.of(1).child(0).random().random()


def fail_once(path):
    if not os.path.exists(path):
        Path(path).touch()
        raise OSError("the first try")
    return "second try"


def stay(path):
    """Run until the file is there."""
    until = time.monotonic() + LIMIT_S
    while not os.path.exists(path) and time.monotonic() < until:
        time.sleep(0.001)


def invert(number):
    return 1 / number


def draw(_):
    return procession.current_task().random.random()


def draw_globally(_):
    return random.random()


def held(_):
    return procession.current_task().resources


class Tried:
    """Ways to see that an option is heeded, by its name: function, argument, options, and what comes or checks it."""

    def __init__(self, folder):
        self.path = str(folder / "file")
        self.seen = []

    def timeout(self):
        return stay, self.path, {"timeout": 0.05}, procession.TaskTimeout

    def retries(self):
        return fail_once, self.path, {"retries": 1, "retry_on": OSError}, "second try"

    def seed(self):
        return draw, 0, {"seed": 1}, DRAWN

    def seed_globals(self):
        return draw_globally, 0, {"seed": 1, "seed_globals": True}, DRAWN

    def priority(self):
        return abs, -1, {"priority": 1}, 1

    def resources(self):
        return held, 0, {"resources": {"card": 1}}, {"card": (0,)}

    def order(self):
        return abs, -1, {"order": "longest", "cost": self._cost}, self._costs

    def _cost(self, item):
        self.seen.append(item)
        return 1

    def _costs(self, value):
        assert (value, self.seen.pop(), self.seen) == (1, -1, [])

    def progress(self):
        return abs, -1, {"progress": self.seen.append}, self._drawn

    def _drawn(self, value):
        assert value == 1 and self.seen[-1].done == 1
        self.seen.clear()

    def on_error(self):
        return invert, 0, {"on_error": "return"}, self._failed

    def _failed(self, value):
        assert type(value) is procession.TaskFailed and value.index == 0 and value.item in (0, (0,))

    def first_error(self):
        return invert, 0, {"first_error": "time"}, ZeroDivisionError

    def resume(self):
        return abs, -1, {"resume": self.path, "on_mismatch": "restart", "fsync": True}, self._kept

    def _kept(self, value):
        assert value == 1 and [frame.places for frame in scan(self.path).frames] == [(0,)]


def methods(pool, executor):
    """Each method as a call with one argument of the function, by its name."""
    return {
        "apply": lambda f, x, **o: pool.apply(f, (x,), **o),
        "apply_async": lambda f, x, **o: pool.apply_async(f, (x,), **o).get(LIMIT_S),
        "schedule": lambda f, x, **o: executor.schedule(f, (x,), **o).result(LIMIT_S),
        "map": lambda f, x, **o: pool.map(f, [x], **o)[0],
        "map_async": lambda f, x, progress=None, **o: _waited(pool.map_async, f, [x], progress, o),
        "starmap": lambda f, x, **o: pool.starmap(f, [(x,)], **o)[0],
        "starmap_async": lambda f, x, progress=None, **o: _waited(pool.starmap_async, f, [(x,)], progress, o),
        "imap": lambda f, x, **o: next(pool.imap(f, iter([x]), **o)),
        "imap_unordered": lambda f, x, **o: next(pool.imap_unordered(f, [x], **o)),
        "map of an executor": lambda f, x, **o: next(executor.map(f, [x], **o)),
    }


def _waited(method, function, items, progress, options):
    if progress is not None:
        options["progress"] = progress
    return method(function, items, **options).get(LIMIT_S)[0]


def table():
    """The cells: option, methods of the column, its crews, whether the methods take it."""
    lines = iter(PAGE.read_text().split("### Which method takes what\n")[1].strip().splitlines())
    columns = [cell.replace("`", "").strip() for cell in next(lines).split("|")[2:6]]
    next(lines)
    for line in lines:
        if not line.startswith("|"):
            return
        option, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        name = option.split("`")[1]
        assert {*cells} <= {"yes", "no"}, line
        crews = [
            "processes",
            *(crew for crew, cell in zip(("threads", "serial"), cells[4:], strict=True) if cell == "yes"),
        ]
        for column, cell in zip(columns, cells[:4], strict=True):
            yield name, column.split(", "), crews, cell == "yes"


def test_each_method_takes_the_options_of_the_table_and_refuses_the_others(tmp_path):
    cells = list(table())
    count = 0
    for crew in ("processes", "threads", "serial"):
        options = {"resources": {"card": 1}} if crew == "processes" else {}
        with Pool(2, crew=crew, **options) as pool, ProcessPoolExecutor(2, crew=crew, **options) as executor:
            calls = methods(pool, executor)
            assert {name for _, names, _, _ in cells for name in names} == {*calls}
            for option, names, crews, takes in cells:
                for name in names:
                    count += 1
                    folder = tmp_path / str(count)
                    folder.mkdir()
                    taken = takes and crew in crews
                    try_out(calls[name], Tried(folder), option, name == "map of an executor" and option, taken)
        pool.join()
    assert count == len(calls) * len({option for option, *_ in cells}) * 3


def try_out(call, tried, option, of_executor, taken):
    function, argument, options, wanted = getattr(tried, option)()
    if taken:
        if isinstance(wanted, type):
            with pytest.raises(wanted):
                call(function, argument, **options)
            Path(tried.path).touch()
            return
        value = call(function, argument, **options)
        if callable(wanted):
            wanted(value)
        else:
            assert value == wanted
    elif of_executor == "timeout":  # it is the reader's, whom a task in the caller holds up
        with contextlib.suppress(TimeoutError):
            assert call(time.sleep, 0.1, **options) is None
    else:
        refusals = TypeError, ValueError, NotImplementedError
        with pytest.raises(refusals, match=f"{option}|{' |'.join(options)}"):
            call(abs, -1, **options)
