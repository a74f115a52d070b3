"""A warning where a function reads variables that its workers do not have as the program does, and none elsewhere."""

import subprocess
import sys
import textwrap

import pytest
from tasks.apart import by_case, told_apart

LIMIT_S = 300
pytestmark = pytest.mark.timeout(LIMIT_S + 60)
NEW_INTERPRETERS = ("spawn", "forkserver")

HEAD = """
import functools, sys, threading
import procession
from procession.futures import ProcessPoolExecutor
import helper
"""

HELPER = """
from package import inner

setting = 1

def read(x):
    return setting

class Base:
    level = 1
"""


def run(tmp_path, method, names, changes, use, before=""):
    """Run a program: `names` at its top, `changes` and `use` under the guard; return what it warned of."""
    return warnings_in(output(tmp_path, method, names, changes, use, before).splitlines())


def warnings_in(lines):
    return [line.partition("StaleVariable: ")[2] for line in lines if "Warning" in line or "Stale" in line]


def output(tmp_path, method, names, changes, use, before=""):
    """Run a program as `run` does; return what comes to its errors."""
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "package").mkdir(exist_ok=True)
    (tmp_path / "package" / "inner.py").write_text("level = 1\ntable = {}\n\ndef read():\n    return level\n")
    (tmp_path / "program.py").write_text(
        HEAD
        + textwrap.dedent(names)
        + '\nif __name__ == "__main__":\n'
        + f"    context = procession.get_context({method!r})\n"
        + textwrap.indent(textwrap.dedent(changes), "    ")
        + "\n"
        + textwrap.indent(textwrap.dedent(use), "    ")
    )
    command = [sys.executable, *before.split(), "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def run_all(tmp_path, method, cases, use, parts):
    """Run a program that tries cases in turn; return what each warned of, and what is expected of it, by its name."""
    names, guarded, expected = told_apart(cases, use, parts)
    found = by_case(output(tmp_path, method, names, guarded, ""))
    return {case: (warnings_in(lines), wanted) for case, lines, wanted in zip(cases, found, expected, strict=True)}


MAP = """
with context.Pool(2) as pool:
    for _ in range(2):
        pool.map(work, range(4), chunksize=1)
"""


STALE = {
    "a number": ("n = 1\ndef work(x): return n", "n = 2", "n of __main__ (1 in workers, 2 in the program)"),
    "a text, whose contents are not shown": (
        "key = ''\ndef work(x): return key",
        "key = 'secret'",
        "key of __main__ (a str of 0 in workers, a str of 6 in the program)",
    ),
    "a model that is loaded later": (
        "MODEL = None\ndef work(x): return MODEL",
        "MODEL = object()",
        "MODEL of __main__ (None",
    ),
    "a name that stands under the guard": (
        "def work(x):\n    try: return rate\n    except NameError: pass",
        "rate = 0.5",
        "not there in workers",
    ),
    "a table that is filled": (
        "table = {}\ndef work(x): return table.get(x)",
        "table[1] = 1",
        "table of __main__ (a dict of 0",
    ),
    "a text of the same length": (
        "key = 'a'\ndef work(x): return key",
        "key = 'b'",
        "key of __main__ (a str of 1, but another)",
    ),
    "a long list": (
        "rows = []\ndef work(x): return len(rows)",
        "rows.extend(range(9999))",
        "a list of 9999 in the program",
    ),
    "what another function reads": (
        "n = 1\ndef inner(): return n\ndef work(x): return inner()",
        "n = 2",
        "n of __main__",
    ),
    "a method": (
        "n = 1\nclass C:\n    def work(self, x): return self.inner()\n    def inner(self): return n\nwork = C().work",
        "n = 2",
        "C.work() reads variables",
    ),
    "a partial": ("n = 1\ndef f(a, x): return n\nwork = functools.partial(f, 1)", "n = 2", "f() reads"),
    "a cached function": ("n = 1\n@functools.cache\ndef work(x): return n", "n = 2", "n of __main__"),
    "a callable object": (
        "n = 1\nclass W:\n    def __call__(self, x): return n\nwork = W()",
        "n = 2",
        "W.__call__() reads",
    ),
    "a comprehension": ("n = 1\ndef work(x): return [n for _ in range(2)]", "n = 2", "n of __main__"),
    "a module of the program": ("def work(x): return helper.setting", "helper.setting = 2", "setting of helper (1 in"),
    "a module of a package": (
        "import package.inner\ndef work(x): return package.inner.level",
        "package.inner.level = 2",
        "level of package.inner (1 in",
    ),
    "what a module of a package calls": (
        "import package.inner\ndef work(x): return package.inner.read()",
        "package.inner.level = 2",
        "level of package.inner (1 in",
    ),
    "a module in another one": (
        "def work(x): return helper.inner.level",
        "helper.inner.level = 2",
        "level of package.inner (1 in",
    ),
    "a function of another module": ("work = helper.read", "helper.setting = 2", "read() reads"),
    "what a call in another module reads": (
        "def work(x): return helper.read(x)",
        "helper.setting = 2",
        "setting of helper",
    ),
    "a list of other things": ("names = ['a']\ndef work(x): return names", "names[0] = 'b'", "names of __main__"),
    "an array": (
        "import numpy\ndata = numpy.zeros(0)\ndef work(x): return data.size",
        "data = numpy.ones(5)",
        "a ndarray of (0,) in workers, a ndarray of (5,) in the program",
    ),
}


# Those that load a large library have a program of their own, as all workers of a program load what it names.
GROUPS = {
    "plain": [case for case in STALE if "numpy" not in STALE[case][0]],
    "numpy": [case for case in STALE if "numpy" in STALE[case][0]],
}


def stale(case):
    names, changes, expected = STALE[case]
    return names, changes, None, expected


@pytest.mark.parametrize("method", NEW_INTERPRETERS)
@pytest.mark.parametrize("group", GROUPS)
def test_a_variable_that_the_program_has_changed_is_told_once(tmp_path, method, group):
    told = run_all(tmp_path, method, GROUPS[group], MAP, stale)
    for case, (texts, expected) in told.items():
        assert len(texts) == 1, (case, texts)
        assert expected in texts[0] and f"Under {method} they import" in texts[0], (case, expected, texts)
        assert "initializer" in texts[0]


SILENT = {
    "nothing changes": ("n = 1\nt = (1, 2.5)\ndef work(x): return n, t", ""),
    "an equal value": ("t = [1, {2: 'x'}, {3}]\ndef work(x): return t", "t = [1, {2: 'x'}, {3}]"),
    "not a number": ("n = float('nan')\ndef work(x): return n", "n = float('nan')"),
    "what the function does not read": ("def work(x): return x", "n = 2"),
    "a local variable of that name": ("n = 1\ndef work(x):\n    n = 5\n    return n", "n = 2"),
    "an attribute of that name": ("n = 1\nclass C: n = 3\ndef work(x): return C.n", "n = 2"),
    "what the function sets": ("n = 0\ndef work(x):\n    global n\n    n += 1\n    return n", "n = 2"),
    "what it loads when it is first used": (
        "M = None\ndef get():\n    global M\n    if M is None: M = {}\n    return M\ndef work(x): return get()",
        "get()['x'] = 1",
    ),
    "a cache": ("seen = {}\ndef work(x):\n    if x not in seen: seen[x] = 1\n    return seen[x]", "work(1)"),
    "a list that it appends to": ("seen = []\ndef work(x):\n    seen.append(x)\n    return len(seen)", "work(1)"),
    "functions, classes and modules": (
        "import json as m\ndef f(): pass\nclass A: pass\ndef work(x): return bool(f and A and m)",
        "import os as m\ndef f(): return 1",
    ),
    "an object of the same kind": (
        "o = object()\nl = threading.Lock()\ndef work(x): return bool(o and l)",
        "o = object()",
    ),
    "what a library keeps": ("import string\ndef work(x): return string.digits", "string.digits = '1'"),
    "what it sets in a module of a package": (
        "import package.inner\ndef work(x):\n    package.inner.level = 5\n    return package.inner.level",
        "package.inner.level = 2",
    ),
    "what it fills in a module of a package": (
        "import package.inner\ndef work(x): return package.inner.table.setdefault(x, 1)",
        "package.inner.table[1] = 1",
    ),
    "a function by value": ("n = 1\nwork = lambda x: n", "n = 2"),
    "a function that the guard defines": ("n = 1", "n = 2\ndef work(x): return n"),
}


@pytest.mark.parametrize("method", NEW_INTERPRETERS)
def test_nothing_is_said_where_workers_have_what_is_meant(tmp_path, method):
    use = MAP.replace("Pool(2)", "Pool(1)")  # what one says, two do
    told = run_all(tmp_path, method, list(SILENT), use, lambda case: (*SILENT[case], None, ""))
    assert {case: texts for case, (texts, _) in told.items() if texts} == {} and len(told) == len(SILENT)


@pytest.mark.parametrize("group", GROUPS)
def test_forked_workers_have_what_the_program_has(tmp_path, group):
    told = run_all(tmp_path, "fork", GROUPS[group], MAP, stale)
    assert {case: texts for case, (texts, _) in told.items() if texts} == {}


INITIALIZED = """
table, n = {}, 1

def set_up(content, number):
    global n
    table.update(content)
    n = number

def work(x):
    return table, n
"""


@pytest.mark.parametrize("method", NEW_INTERPRETERS)
def test_what_an_initializer_sets_is_the_workers_own(tmp_path, method):
    use = MAP.replace("Pool(2)", "Pool(2, set_up, ({1: 2}, 3))")
    assert run(tmp_path, method, INITIALIZED, "n = 2; table[1] = 3", use) == []
    by_name = "n = 1\ndef set_up(**names): globals().update(names)\ndef work(x): return n"
    use = MAP.replace("Pool(2)", "Pool(2, functools.partial(set_up, n=3))")
    assert run(tmp_path, method, by_name, "n = 2", use) == []


@pytest.mark.parametrize("method", NEW_INTERPRETERS)
def test_what_an_earlier_task_sets_is_the_workers_own(tmp_path, method):
    names = "n = 1\ndef set_n(x):\n    global n\n    n = 7\ndef work(x): return n"
    use = "with context.Pool(1) as pool:\n    pool.apply(set_n, (1,))\n    assert pool.map(work, [1]) == [7]"
    assert run(tmp_path, method, names, "", use) == []


OTHER_WAYS = {
    "apply": "with context.Pool(1) as pool: pool.apply(work, (1,))",
    "apply_async": "with context.Pool(1) as pool: pool.apply_async(work, (1,)).get(60)",
    "imap": "with context.Pool(1) as pool: list(pool.imap(work, [1]))",
    "starmap": "with context.Pool(1) as pool: pool.starmap(work, [(1,)])",
    "an initializer": "with context.Pool(2, work, (1,)) as pool: pool.apply(abs, (1,))",
    "an executor's submit": "with ProcessPoolExecutor(1, context) as e: e.submit(work, 1).result()",
    "an executor's map": "with ProcessPoolExecutor(1, context) as e: list(e.map(work, [1, 2, 3]))",
    "a process": "p = context.Process(target=work, args=(1,)); p.start(); p.join()",
    "a process of a class": "p = Mine(); p.start(); p.join()",
    "replaced workers": "with context.Pool(1, maxtasksperchild=1) as pool: pool.map(work, range(4), chunksize=1)",
    "two pools": "for _ in 'ab':\n    with context.Pool(1) as pool: pool.apply(work, (1,))",
}


@pytest.mark.parametrize("method", NEW_INTERPRETERS)
def test_every_way_of_calling_a_function_tells(tmp_path, method):
    names = (
        f"n = 1\ndef work(x): return n\nclass Mine(procession.get_context({method!r}).Process):\n    def run(self): n\n"
    )
    expected = "n of __main__ (1 in workers, 2 in the program)"
    told = run_all(tmp_path, method, list(OTHER_WAYS), "", lambda way: (names, "n = 2", OTHER_WAYS[way], expected))
    for way, (texts, wanted) in told.items():
        assert len(texts) == 1 and wanted in texts[0], (way, texts)


def test_a_filter_by_the_class_silences_it(tmp_path):
    names = "import warnings\nwarnings.simplefilter('ignore', procession.StaleVariable)\nn = 1\ndef work(x): return n"
    assert run(tmp_path, "forkserver", names, "n = 2", MAP) == []
    assert run(tmp_path, "forkserver", "n = 1\ndef work(x): return n", "n = 2", MAP, "-W ignore") == []


BY_VALUE = """
import functools, sys
import procession

rate = 1


def main():
    global rate
    rate = 2
    context = procession.get_context(sys.argv[1])

    def nested(x):
        return print(x * rate)

    class Own(context.Process):
        def run(self):
            print(3 * rate)

    targets = [nested, lambda x: nested(x), functools.partial(nested)]
    for number, target in enumerate(targets):
        child = context.Process(target=target, args=(number,))
        child.start()
        child.join()
    child = Own()
    child.start()
    child.join()


if __name__ == "__main__":
    main()
"""


def test_nothing_is_said_of_a_target_that_travels_with_its_variables(context, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(BY_VALUE)
    command = [sys.executable, program, context.get_start_method()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.stdout.split(), done.stderr, done.returncode) == (["0", "2", "4", "6"], "", 0)
