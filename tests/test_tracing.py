"""OpenTelemetry: tasks find the trace of their caller, and tell of themselves by spans where these are asked for."""

import subprocess
import sys

import procession
import pytest
from opentelemetry import baggage, context as telemetry_context, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from procession import telemetry
from procession._pool import further, tracing
from procession._pool.worker import Terms
from procession.futures import ProcessPoolExecutor
from procession.pool import Pool

from tests.tasks import traced

LIMIT_S = 60


@pytest.fixture
def root():
    """A span that the program is in, and spans that are kept; as it was before at the end."""
    traced.begin()
    with trace.get_tracer("tests").start_as_current_span("root") as span:
        token = telemetry_context.attach(baggage.set_baggage("user", "Ada"))
        yield span.get_span_context()
        telemetry_context.detach(token)
    telemetry.uninstrument()
    Terms.further.pop("tracing", None)


def in_trace(root):
    """What a task finds that is in the trace and makes no span of its own."""
    return root.trace_id, root.span_id, "Ada"


def test_tasks_find_the_trace_and_are_spans_where_that_is_asked_for(root, context):
    with context.Pool(1, initializer=traced.begin) as pool:
        found = [
            *pool.map(traced.look, [1, 2]),
            pool.apply(traced.look, (1,)),
            pool.apply_async(traced.look, (1,)).get(LIMIT_S),
            *pool.starmap(traced.look, [(1,)]),
            *pool.imap(traced.look, iter([1, 2])),
            *pool.imap_unordered(traced.look, [1], seed=1),
        ]
        assert set(found) == {in_trace(root)}
        assert [name for name, *_ in pool.apply(traced.told)] == ["own"] * len(found)
        telemetry.instrument()
        found = pool.map(traced.look, [1, 2, 3], on_error="return", retries=0)
        assert isinstance(found.pop().exception, ValueError)
        assert all(type(one) is tuple and one[0] == root.trace_id and one[1] != root.span_id for one in found)
        telemetry.uninstrument()
        there, here = pool.apply(traced.told)[8:], traced.told()
    pool.join()
    assert {one[1] for one in there + here} == {root.trace_id}
    runs = [one for one in there if one[0] == "run look"]
    assert [(one[3], one[4], one[5]["procession.index"]) for one in runs] == [
        (root.span_id, status, place) for place, status in enumerate(("UNSET", "UNSET", "ERROR"))
    ]
    assert [one[1] for one in found] == [one[2] for one in runs[:2]]
    assert [one[3] for one in there if one[0] == "own"] == [one[2] for one in runs]  # within the run
    waits = [one for one in there if one[0] == "wait look"]
    assert [one[3] for one in waits] == [root.span_id] * 3
    travels = [one for one in here if one[0] == "transfer look"]
    assert [one[3] for one in travels] == [root.span_id] * 2
    for wait, run in zip(waits, runs, strict=True):
        assert wait[6] <= wait[7] <= run[6] <= run[7]
    assert sorted(one[7] for one in runs[:2]) <= sorted(one[6] for one in travels)


@pytest.mark.parametrize("crew", ["threads", "serial"])
def test_tasks_of_other_crews_are_in_the_trace(crew, root):
    with Pool(2, crew=crew) as pool:
        assert pool.map(traced.look, [1, 2]) == [in_trace(root)] * 2
        telemetry.instrument()
        assert {one[0] for one in pool.map(traced.look, [1, 2])} == {root.trace_id}
        telemetry.uninstrument()
        assert pool.map(traced.look, [1]) == [in_trace(root)]
    pool.join()
    assert sorted(one[0] for one in traced.told()) == ["own"] * 5 + ["run look"] * 2 + ["wait look"] * 2


def test_calls_of_an_executor_are_in_the_trace_in_which_they_were_submitted(root):
    with ProcessPoolExecutor(1, initializer=traced.begin) as executor:
        futures = [executor.submit(traced.look, 1) for _ in range(8)]  # more than the pool has at once
        lazy = executor.map(traced.look, [1, 2])
        by_item = executor.map(traced.look, [1, 2], on_error="skip")
        with trace.get_tracer("tests").start_as_current_span("inner") as inner:
            other = executor.submit(traced.look, 1)
            found = [*(future.result(LIMIT_S) for future in futures), *lazy, *by_item]
        assert found == [in_trace(root)] * 12
        assert other.result(LIMIT_S)[:2] == (root.trace_id, inner.get_span_context().span_id)


def test_calls_that_are_in_no_trace_go_as_without_opentelemetry(root, monkeypatch):
    entered, run = [], further.Call.run
    monkeypatch.setattr(further.Call, "run", lambda call, options: entered.append(call.order) or run(call, options))
    with Pool(1) as pool, ProcessPoolExecutor(1) as executor:
        token = telemetry_context.attach(telemetry_context.Context())
        try:
            assert pool.apply(abs, (-1,)) == pool.apply_async(abs, (-1,)).get(LIMIT_S) == 1
            assert pool.map(abs, [-1]) == pool.map_async(abs, [-1]).get(LIMIT_S) == list(pool.imap(abs, [-1])) == [1]
            assert executor.submit(abs, -1).result(LIMIT_S) == 1
            assert not entered
            assert pool.map(abs, [-1], on_error="return") == [1]
        finally:
            telemetry_context.detach(token)
        assert pool.apply(traced.look, (1,)) == executor.submit(traced.look, 1).result(LIMIT_S) == in_trace(root)
    pool.join()
    assert entered == ["map", "apply", "apply"]


def test_what_cannot_be_sent_or_kept_is_told_of_as_without_spans(root, tmp_path):
    telemetry.instrument()
    with Pool(1) as pool:
        with pytest.raises(procession.MaybeEncodingError, match="generator"):
            pool.apply(iter_of, (1,))
        assert [pool.map(abs, [-1, -2], resume=tmp_path / "journal") for _ in range(2)] == [[1, 2]] * 2
        assert len(pool.apply(bytes, (1 << 20,))) == 1 << 20
        tracing.spans(True)
        assert pool.map_async(abs, [-1], callback=lambda values: values.append(2)).get(LIMIT_S) == [1, 2]
    pool.join()


class Broken:
    """A provider that makes nothing."""

    def get_tracer(self, *_, **__):
        raise RuntimeError("no tracer")


def test_what_telemetry_cannot_do_is_no_fault_of_a_task(root):
    telemetry.instrument(Broken())
    with Pool(1) as pool, Pool(1, crew="threads") as threads:
        assert pool.map(abs, [-1]) == threads.map(abs, [-1]) == [1]
        for options in ({"tracing": "x"}, {"context": 3}):
            with pytest.raises(TypeError, match="unexpected keyword argument"):
                pool.map(abs, [-1], **options)
    for each in (pool, threads):
        each.join()


def iter_of(number):
    return (n for n in range(number))


WITHOUT = """
import sys, procession
def loaded(_):
    return [name for name in sys.modules if name.startswith("opentelemetry") or name.endswith("_pool.tracing")]
if __name__ == "__main__":
    with procession.Pool(1) as pool:
        print(pool.map(loaded, [1]), loaded(1))
"""


def test_who_has_no_opentelemetry_loads_nothing_of_it(tmp_path):
    (tmp_path / "program.py").write_text(WITHOUT)
    out = subprocess.check_output([sys.executable, tmp_path / "program.py"], text=True, timeout=LIMIT_S)
    assert out == "[[]] []\n"


class Stamp:
    """A program's propagator, which writes something in and outside of traces."""

    fields = frozenset({"stamp"})

    def inject(self, carrier, context=None, setter=None):
        carrier["stamp"] = "here"

    def extract(self, carrier, context=None, getter=None):
        return telemetry_context.get_current()


@pytest.mark.parametrize("together", [False, True])
def test_propagators_of_the_program_write_outside_of_traces_too(together):
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(CompositePropagator([before, Stamp()]) if together else Stamp())
    try:
        assert tracing.captured() == ({"stamp": "here"}, None)
    finally:
        propagate.set_global_textmap(before)


def test_baggage_outside_of_traces_is_taken_along():
    assert tracing.captured() is None
    token = telemetry_context.attach(baggage.set_baggage("user", "Ada"))
    try:
        assert tracing.captured() == ({"baggage": "user=Ada"}, None)
    finally:
        telemetry_context.detach(token)
    assert tracing.captured() is None
