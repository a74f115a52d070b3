"""What notebooks show: progress, pools, results, recordings; run cell after cell in a kernel, and looked at as HTML."""

import re

import nbformat
import procession
import pytest
from nbclient import NotebookClient
from procession.pool import Pool, ThreadPool
from test_report import Tags

CELLS = [
    """
import time
import procession
pool = procession.Pool(2)

def rest(number):
    procession.current_task().progress(1, 2, "<b>half")
    time.sleep(0.1)
    return number

pool.map(rest, range(12), progress=True)
""",
    "pool",
    "pool.stats()",
    "result = pool.map_async(rest, range(4)); result.get(); result",
    """
with procession.recording() as run:
    pool.map(rest, range(4))
run
""",
    "pool.terminate(); pool.join(); pool",
]


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the cells have put out, each a list, as it is in the saved notebook."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    nbformat.write(notebook, folder / "saved.ipynb")
    return [cell.outputs for cell in nbformat.read(folder / "saved.ipynb", 4).cells]


def html_of(outputs, kind="execute_result"):
    (only,) = [output for output in outputs if output.output_type == kind]
    text = only.data["text/html"]
    assert Tags(text).open == [] and "<script" not in text
    return text


def test_a_map_has_one_display_and_the_saved_one_has_its_last_state(outputs):
    drawn = html_of([output for output in outputs[0] if output.output_type == "display_data"], "display_data")
    assert "12/12" in drawn and "rest" in drawn and "<svg" in drawn
    assert [output.output_type for output in outputs[0]] == ["display_data", "execute_result"]


def test_pools_and_results_are_tables(outputs):
    for cell in (1, 2):
        text = html_of(outputs[cell])
        assert "2 workers" in text and "12 done" in text and text.count("<tr>") == 3
    assert "<b>Pool</b> · run · forkserver" in html_of(outputs[1])
    assert "<b>MapResult</b>" in html_of(outputs[3]) and "4/4" in html_of(outputs[3])
    assert "terminate" in html_of(outputs[5])


def test_a_recording_is_its_page_in_a_frame_of_its_own(outputs):
    text = html_of(outputs[4])
    ((_, _, page),) = [one for one in Tags(text).attributes if one[1] == "srcdoc"]
    assert page.startswith("<!doctype html>") and "4tasks, on 2 workers" in re.sub("<[^>]*>", "", page)
    assert "<title>notebook · procession report</title>" in page
    assert "allow-same-origin" not in text


def test_no_name_is_taken_for_html():
    class Odd(Pool):
        pass

    Odd.__name__ = "<script>alert(1)</script>"
    with Odd(1, crew="serial") as pool:
        assert "<script" not in pool._repr_html_()

    def hostile(number):
        return number

    hostile.__qualname__ = "<img src=x onerror=alert(1)>"
    with ThreadPool(1) as pool:
        result = pool.map_async(hostile, [1])
        result.wait(60)
        assert "<img" not in result._repr_html_() and "&lt;img" in result._repr_html_()
        reader = pool.imap(hostile, [1, 2])
        assert next(reader) == 1 and "IMapIterator" in reader._repr_html_()
    pool.join()


def test_a_recording_that_has_not_begun_is_no_page():
    assert "<iframe" not in procession.recording()._repr_html_()
