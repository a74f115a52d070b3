"""`context_var`: what the caller has set is what its tasks find."""

import contextvars
import random
import threading

import procession
import pytest
from procession._pool.worker import Terms
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool

from tests.tasks import contextual

LIMIT_S = 60
Terms.further.clear()  # the mark that the import has left, for the tests of others


@pytest.fixture(autouse=True)
def marked():
    """Have pools look at context variables, in these tests alone."""
    Terms.further["context"] = True
    yield
    Terms.further.clear()


def found_by(pool):
    return [
        pool.apply(contextual.read, (0,)),
        pool.apply_async(contextual.read, (0,)).get(LIMIT_S),
        *set(pool.map(contextual.read, range(8), 2)),
        *set(pool.imap(contextual.read, range(4))),
        *set(pool.imap_unordered(contextual.read, range(4), 2)),
    ]


def ask(pool):
    contextual.tenant.set("Ada")
    contextual.trace.set(1)
    assert found_by(pool) == [("Ada", 1)] * 5
    # Beside a seed, which stands in the function, too.
    numbers = [random.Random(f"5/{place}").random() for place in range(3)]
    wanted = [("Ada", place, number, "read_with_seed") for place, number in enumerate(numbers)]
    assert pool.map(contextual.read_with_seed, range(3), seed=5) == wanted


def check(pool):
    assert found_by(pool) == [("nobody", None)] * 5
    contextvars.copy_context().run(ask, pool)
    assert pool.map(contextual.read, range(3)) == [("nobody", None)] * 3 and contextual.tenant.get() == "nobody"


def test_tasks_find_what_their_caller_has_set(context):
    with context.Pool(2) as pool:
        check(pool)
    pool.join()


def test_tasks_of_other_crews_and_of_executors_find_it_too():
    for crew in ("threads", "serial"):
        with Pool(2, crew=crew, on_error="raise") as pool:
            check(pool)
        pool.join()
    context = contextvars.copy_context()
    context.run(contextual.tenant.set, "Ada")
    contexts = contextvars.Context(), context
    with ProcessPoolExecutor(1) as executor:
        futures = [contexts[place % 2].run(executor.submit, contextual.read, 0) for place in range(9)]
        assert [future.result(LIMIT_S)[0] for future in futures] == [("nobody", "Ada")[place % 2] for place in range(9)]


def test_threads_have_contexts_of_their_own():
    found = {}

    def ask_in_thread(name, pool):
        contextual.tenant.set(name)
        found[name] = pool.map(contextual.read, range(5), 1)

    with Pool(2) as pool:
        threads = [threading.Thread(target=ask_in_thread, args=(name, pool)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    pool.join()
    assert found == {name: [(name, None)] * 5 for name in "ab"}


def test_there_is_one_variable_of_each_name_and_its_value_waits_for_it():
    assert procession.context_var("tenant") is contextual.tenant
    with pytest.raises(TypeError, match="must be a text"):
        procession.context_var(3)
    late = procession.context_var("late Ada")

    def ask_late(pool):
        late.set(7)
        contextual.tenant.set("Ada")
        assert pool.map(contextual.read_late, [1]) == [7]

    with Pool(1) as pool:
        contextvars.copy_context().run(ask_late, pool)
    pool.join()
