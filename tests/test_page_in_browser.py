"""The page of a run in a browser, where there is one: what it draws, says and asks for. `scripts/pages` needs one."""

import os

import browser
import procession
import pytest
from procession._report.page import page
from procession._report.run import RAISED, Failure
from test_report import HOSTILE, row, run_of

pytestmark = pytest.mark.skipif(
    browser.found() is None and "PROCESSION_PICTURES" not in os.environ, reason="there is no Chromium here"
)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser.Browser(tmp_path_factory.mktemp("chromium")) as one:
        yield one


def run_with(lanes, count):
    """A run of so many rows, every fiftieth failed."""
    made = [
        row(
            at % lanes,
            at // lanes * 2e-3,
            1e-3,
            job=at % 2,
            first=at,
            outcome=RAISED * (at % 50 == 49),
            cpu=0.5,
            line=0.25,
            returned=at,
        )
        for at in range(count)
    ]
    run = run_of(made, lanes, seconds=max(1e-3, -(-count // lanes) * 2e-3), jobs=("load", "score"))
    run.failures = [Failure(at % 2, at, RAISED, HOSTILE, 0, 1e-3, 0.0) for at in range(49, min(count, 500), 50)]
    for life in run.lives:
        life.memory = [(at * 0.2, at << 20) for at in range(min(count, 50))]
    return run


# How many points of the canvas are of another colour than its first.
DRAWN = """(() => {
  const data = g.getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 4; i < data.length; i += 4)
    count += data[i] !== data[0] || data[i + 1] !== data[1] || data[i + 2] !== data[2] || data[i + 3] !== data[3];
  return count;
})()"""
SIZES = [(1, 0), (1, 1), (3, 3000), (256, 20_000), (300, 3000)]


@pytest.mark.parametrize("lanes, count", SIZES)
def test_a_page_is_drawn_and_asks_for_nothing(lanes, count, chromium, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(page(run_with(lanes, count)))
    assert file.stat().st_size < 600_000
    for width, scheme in ((1200, "light"), (390, "dark")):
        chromium.size(width, 900, scheme)
        chromium.open(f"file://{file}")
        assert (chromium.said, chromium.asked) == ([], [f"file://{file}"])
        assert chromium.run("document.documentElement.scrollWidth <= innerWidth"), "it is as wide as its window"
        for mode in ("fn", "cpu", "mem"):
            chromium.run(f"document.querySelector('[data-mode={mode}]').click()")
            drawn = chromium.run(DRAWN)
            assert drawn > (1000 if count else 100), mode
        if os.environ.get("PROCESSION_PICTURES"):
            chromium.run("document.querySelector('[data-mode=fn]').click()")
            chromium.picture(os.path.join(os.environ["PROCESSION_PICTURES"], f"{lanes}-{count}-{scheme}-{width}.png"))
        light = chromium.run("getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)")
        assert (sum(light[:3]) > 384) == (scheme == "light")
        assert chromium.said == []


def test_who_points_at_a_row_is_told_of_it_and_who_drags_looks_closer(chromium, tmp_path):
    run = run_with(3, 300)
    (tmp_path / "page.html").write_text(page(run))
    chromium.size(1200, 900)
    chromium.open(f"file://{tmp_path}/page.html")
    place = chromium.run("(() => { const b = canvas.getBoundingClientRect(); return [b.left, b.top]; })()")
    one = next(row for row in run.rows if row.life == 1 and row.first == 100)
    at = chromium.run(f"x({(one.start + one.span / 2) * 1e6})")
    height = chromium.run("TOP + GAP + 1.5 * laneHeight")
    chromium.mouse("mouseMoved", place[0] + at, place[1] + height)
    assert chromium.run("[...tip.children].map(line => line.textContent)") == [
        "load[100]",
        f"1.0 ms on worker 1, from {one.start:.3f} s",
        "on a CPU 50 %, in line for one 25 %",
        "result 100 B",
    ]
    assert chromium.run("+tip.style.opacity") == 1
    whole = chromium.run("[from, to]")
    chromium.mouse("mousePressed", place[0] + at - 40, place[1] + height, button="left", clickCount=1)
    chromium.mouse("mouseMoved", place[0] + at + 40, place[1] + height, button="left", buttons=1)
    chromium.mouse("mouseReleased", place[0] + at + 40, place[1] + height, button="left", clickCount=1)
    near = chromium.run("[from, to]")
    assert whole[0] < near[0] < (one.start + one.span / 2) * 1e6 < near[1] < whole[1]
    chromium.run("canvas.focus()")
    for key in ("+", "-", "ArrowRight", "ArrowLeft"):
        before = chromium.run("[from, to]")
        chromium.ask("Input.dispatchKeyEvent", type="keyDown", key=key)
        assert chromium.run("[from, to]") != before
    chromium.run("$('reset').click()")
    assert chromium.run("[from, to]") == whole
    assert chromium.said == []


def test_a_notebook_has_it_in_a_frame_without_rights(chromium, tmp_path):
    with procession.recording() as run, procession.Pool(1) as pool:
        pool.map(abs, range(1000))
    (tmp_path / "cell.html").write_text(f"<!doctype html><div>{run._repr_html_()}</div>")
    chromium.open(f"file://{tmp_path}/cell.html")
    assert (chromium.said, chromium.run("document.querySelector('iframe').clientHeight")) == ([], 640)
    assert chromium.run("document.querySelector('iframe').contentDocument") is None


def test_names_and_messages_are_text_in_a_browser(chromium, tmp_path):
    run = run_with(2, 200)
    run.program = run.jobs[0].function = HOSTILE
    (tmp_path / "page.html").write_text(page(run))
    chromium.open(f"file://{tmp_path}/page.html")
    assert (chromium.said, len(chromium.asked)) == ([], 1)
    assert chromium.run("document.scripts.length") == 2 and chromium.run("document.images.length") == 0
    # What the page may load is nothing: it says so itself, to whatever would be in it.
    refused = """new Promise(done => {
      addEventListener("securitypolicyviolation", event => done(event.violatedDirective));
      document.body.append(Object.assign(new Image(), {src: "https://example.org/a.png"}));
    })"""
    assert chromium.run(refused) == "img-src"
