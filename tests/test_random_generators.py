"""A warning where workers draw from copies of one random generator, and none where each has its own."""

import subprocess
import sys
import textwrap

import pytest
from tasks.apart import by_case, told_apart

LIMIT_S = 300
pytestmark = pytest.mark.timeout(LIMIT_S + 60)
COPIES = ("fork", "forkserver")

HEAD = """
import random, sys
import numpy as np
import procession
from procession.futures import ProcessPoolExecutor
import helper
"""

HELPER = """
import random

dice = random.Random()

def roll():
    return dice.random()
"""

MAP = """
with context.Pool(2) as pool:
    for _ in range(2):
        pool.map(draw, range(4), chunksize=1)
"""


def run(tmp_path, method, names, use=MAP):
    """Run a program: `names` at its top, `use` under the guard; return what it warned of."""
    return warnings_in(output(tmp_path, method, names, use).splitlines())


def output(tmp_path, method, names, use):
    """Run a program as `run` does; return what comes to its errors."""
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "program.py").write_text(
        HEAD
        + textwrap.dedent(names)
        + f'\nif __name__ == "__main__":\n    context = procession.get_context({method!r})\n'
        + textwrap.indent(textwrap.dedent(use), "    ")
    )
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done.stderr


def warnings_in(lines):
    found = [line for line in lines if "Random" in line.partition(": ")[2].partition(":")[0]]
    assert len(found) == sum("Warning: " in line or "SameRandomNumbers: " in line for line in lines), lines
    return [line.partition("SameRandomNumbers: ")[2] for line in found]


def run_all(tmp_path, method, cases, names, expected):
    """Run a program that tries cases in turn; return what each warned of, and what is expected of it, by its name."""
    top, guarded, wanted = told_apart(cases, MAP, lambda case: (names(case), "", None, expected(case)))
    found = by_case(output(tmp_path, method, top, guarded))
    return {case: (warnings_in(lines), text) for case, lines, text in zip(cases, found, wanted, strict=True)}


SHARED = {
    "numpy's generator": ("rng = np.random.default_rng()\ndef draw(x): return rng.random()", "rng of __main__"),
    "numpy's older one": ("state = np.random.RandomState()\ndef draw(x): return state.rand()", "state of __main__"),
    "Python's": ("dice = random.Random()\ndef draw(x): return dice.random()", "dice of __main__"),
    "a method of one": ("roll = random.Random().random\ndef draw(x): return roll()", "roll of __main__"),
    "one in a list": ("rngs = [np.random.default_rng(1)]\ndef draw(x): return rngs[0].random()", "rngs of __main__"),
    "one in an object": (
        "class Sim:\n    def __init__(self): self.rng = random.Random()\n    def step(self): return self.rng.random()\n"
        "sim = Sim()\ndef draw(x): return sim.step()",
        "sim of __main__",
    ),
    "one in another module": ("def draw(x): return helper.roll()", "dice of helper"),
    "one that another function uses": (
        "rng = np.random.default_rng()\ndef inner(): return rng.random()\ndef draw(x): return inner()",
        "rng of __main__",
    ),
    "one of a class": (
        "class Base:\n    rng = random.Random()\nclass Sim(Base):\n    def step(self, x): return self.rng.random()\n"
        "draw = Sim().step",
        "Base.rng of __main__",
    ),
    "one around a function": (
        "def made(rng):\n    def inner(): return rng.random()\n    return inner\nroll = made(random.Random())\n"
        "def draw(x): return roll()",
        "roll.rng of __main__",
    ),
    "a parameter's": ("def draw(x, *, rng=random.Random()): return rng.random()", "draw.rng of __main__"),
    "one in a partial": (
        "import functools\nroll = functools.partial(random.Random().gauss, 0)\ndef draw(x): return roll(1)",
        "roll of __main__",
    ),
}


# The parent looks at what a function draws from; by forkserver the copies are the server's.
OF_BOTH = ["numpy's generator", "one in an object", "one in another module"]
OF_FORKSERVER = [*OF_BOTH, "one of a class", "one around a function", "a parameter's"]


@pytest.mark.parametrize("method, cases", [("fork", list(SHARED)), ("forkserver", OF_FORKSERVER)], ids=COPIES)
def test_a_generator_that_workers_have_copies_of_is_told_once(tmp_path, method, cases):
    told = run_all(tmp_path, method, cases, lambda case: SHARED[case][0], lambda case: SHARED[case][1])
    for case, (texts, expected) in told.items():
        assert len(texts) == 1, (case, texts)
        assert expected in texts[0] and "draws from a random generator" in texts[0], (case, expected, texts)
        assert "SeedSequence.spawn" in texts[0]


def test_spawned_workers_make_their_own(tmp_path):
    told = run_all(tmp_path, "spawn", OF_BOTH, lambda case: SHARED[case][0], lambda case: "")
    assert [texts for texts, _ in told.values()] == [[]] * len(OF_BOTH)


OWN = {
    "the functions of random": "def draw(x): return random.random()",
    "a function out of random": "from random import random as roll\ndef draw(x): return roll()",
    "the functions of numpy.random": "def draw(x): return np.random.rand()",
    "the system's": "dice = random.SystemRandom()\ndef draw(x): return dice.random()",
    "one that the task makes": "def draw(x): return np.random.default_rng(x).random()",
    "one that the task seeds": "dice = random.Random()\ndef draw(x):\n    dice.seed(x)\n    return dice.random()",
    "one that is not used": "rng = np.random.default_rng()\ndef draw(x): return x",
    "one that the task replaces": (
        "rng = random.Random()\ndef draw(x):\n    global rng\n    rng = random.Random(x)\n    return rng.random()"
    ),
    "one that an object has in the place of its class's": (
        "class Sim:\n    rng = random.Random()\n    def __init__(self, x): self.rng = random.Random(x)\n"
        "def draw(x): return Sim(x).rng.random()"
    ),
    "one that the task gives to a class": (
        "class Sim:\n    rng = random.Random()\ndef draw(x):\n    Sim.rng = random.Random(x)\n"
        "    return Sim.rng.random()"
    ),
    "one that is replaced in a parameter": "def draw(x, rng=random.SystemRandom()): return rng.random()",
}


@pytest.mark.parametrize("method, cases", [
    ("fork", list(OWN)),
    ("forkserver", [case for case in OWN if case.startswith("one")]),
], ids=COPIES)  # fmt: skip
def test_nothing_is_said_where_each_worker_has_its_own(tmp_path, method, cases):
    told = run_all(tmp_path, method, cases, lambda case: OWN[case], lambda case: "")
    assert {case: texts for case, (texts, _) in told.items() if texts} == {} and len(told) == len(cases)


@pytest.mark.parametrize("method", COPIES)
def test_a_generator_that_an_initializer_makes_is_the_workers_own(tmp_path, method):
    names = """
    rng = random.Random()

    def set_up():
        global rng
        rng = random.Random()

    def draw(x):
        return rng.random()
    """
    assert run(tmp_path, method, names, MAP.replace("Pool(2)", "Pool(2, set_up)")) == []


@pytest.mark.parametrize("method", COPIES)
def test_one_worker_and_one_process_draw_as_they_like(tmp_path, method):
    names = SHARED["Python's"][0]
    one = "p = context.Process(target=draw, args=(1,)); p.start(); p.join()\n"
    assert run(tmp_path, method, names, MAP.replace("Pool(2)", "Pool(1)")) == []
    assert run(tmp_path, method, names, one) == []
    assert len(run(tmp_path, method, names, one * 3)) == 1


@pytest.mark.parametrize("method", COPIES)
def test_an_executor_tells_too(tmp_path, method):
    use = "with ProcessPoolExecutor(2, context) as executor:\n    list(executor.map(draw, range(4)))\n"
    assert len(run(tmp_path, method, SHARED["numpy's generator"][0], use)) == 1
