"""The options of a pool: the same, and checked alike, wherever they are given."""

import ast
import inspect
import os
import pickle
from pathlib import Path

import procession
import pytest
from procession._pool import further, options
from procession.futures import ProcessPoolExecutor

WRONG = [
    ({"max_tasks": 0}, ValueError, "max_tasks must be a positive int"),
    ({"max_age": -1}, ValueError, "max_age must be more than 0 seconds"),
    ({"max_memory": "2 lots"}, ValueError, "max_memory must be a number of bytes"),
    ({"env": {"A=B": "1"}}, ValueError, "cannot be the name of a variable"),
    ({"nice": "kind"}, TypeError, "nice needs int"),
    ({"cpu_affinity": []}, ValueError, "cpu_affinity names no CPU"),
    ({"capture_output": "yes"}, TypeError, "capture_output"),
    ({"initializer": 3}, TypeError, "initializer must be a callable"),
    ({"max_memry": 1}, TypeError, "unexpected keyword argument 'max_memry'"),
]


def makers():
    """Whatever takes the options of a pool, by its name."""
    return {
        "procession.Pool": lambda wrong: procession.Pool(2, **wrong),
        "pool.Pool": lambda wrong: procession.pool.Pool(2, **wrong),
        "context": lambda wrong: procession.get_context("spawn").Pool(2, **wrong),
        "executor": lambda wrong: ProcessPoolExecutor(2, **wrong),
    }


@pytest.mark.parametrize("wrong, error, text", WRONG, ids=[next(iter(wrong)) for wrong, *_ in WRONG])
@pytest.mark.parametrize("maker", makers())
def test_what_makes_no_sense_is_refused_where_it_is_given(maker, wrong, error, text):
    with pytest.raises(error, match=text):
        makers()[maker](wrong)


def test_the_backend_for_joblib_takes_them():
    joblib = pytest.importorskip("joblib")
    import procession.joblib

    read = joblib.delayed(os.getenv)("OF_A_POOL")
    try:
        for value in ("1", "1", "2"):
            with joblib.parallel_config("procession", n_jobs=2, env={"OF_A_POOL": value}):
                assert joblib.Parallel()([read] * 3) == [value] * 3
            (pool, _), *others = procession.joblib._pools.values()
            assert not others
        with joblib.parallel_config("procession", n_jobs=2, env={"OF_A_POOL": "2"}):
            joblib.Parallel()([read])
        assert [pool] == [same for same, _ in procession.joblib._pools.values()]
        with joblib.parallel_config("procession", n_jobs=2, max_age=-1), pytest.raises(ValueError, match="max_age"):
            joblib.Parallel()([read])
    finally:
        procession.joblib._pools.clear()


def test_the_types_of_the_options_are_those_of_the_function_that_checks_them():
    tree = ast.parse((Path(procession.__file__).parent / "_typed" / "options.py").read_text())
    types = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    ours = [*types["ExecutorOptions"].body, *types["PoolOptions"].body]  # an executor has all but one
    typed = {node.target.id for node in ours if isinstance(node, ast.AnnAssign)}
    parameters = inspect.signature(options.pool_options).parameters.values()
    named = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    # Beside those there are options of calls which a pool has for all of its calls.
    assert typed == named | {name for name, row in further.OPTIONS.items() if hasattr(further._loaded(row), "check")}


def test_each_option_is_explained():
    for name, parameter in inspect.signature(options.pool_options).parameters.items():
        if parameter.kind is not parameter.VAR_KEYWORD:
            assert name in procession.pool.Pool.__doc__, name


def test_a_worker_is_sent_what_concerns_it_alone():
    terms = options.pool_options(3, abs, (1,), 7, max_memory="1MB", max_age=5, capture_output=lambda line: None)
    there = pickle.loads(pickle.dumps(terms))
    assert (there.initializer, there.initargs, there.max_tasks, there.max_memory) == (abs, (1,), 7, 10**6)
    assert terms.count == 3 and there.on_line is None and there.settings is None
