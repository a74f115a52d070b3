"""`procession report`: what a recorded run shows, as a page, a trace, a document or a few lines."""

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from procession._pool.amounts import number, percent, span
from procession._report.file import read
from procession._report.findings import findings
from procession._report.functions import summaries
from procession._report.run import Run
from procession.cli.text import ascii_only, clean

__all__ = ["document", "main"]

_SUFFIX = ".procession"


def main(arguments: list[str]) -> None:
    """Write the page.

    Args:
        arguments: the command line, a list of str.

    Raises:
        SystemExit: it makes no sense, or there is no recording.
    """
    command = argparse.ArgumentParser(
        prog="procession report",
        description="Shows what a recorded program did, and what to do about it. "
        "Record with `procession run --record script.py`, PROCESSION_RECORD=FILE or procession.recording().",
    )
    command.add_argument("file", nargs="?", help=f"the recording (default: the newest *{_SUFFIX} here)")
    command.add_argument("-o", "--output", metavar="PAGE", help="the page (default: FILE.html)")
    command.add_argument("--open", action="store_true", help="open the page in a browser")
    command.add_argument(
        "--trace",
        metavar="TRACE",
        help="write a trace for ui.perfetto.dev, and no page unless -o or --open asks for it",
    )
    command.add_argument(
        "--json", action="store_true", help="print a JSON document, and write no page unless -o or --open asks for it"
    )
    options = command.parse_args(arguments)
    path = options.file or _newest()
    try:
        run = read(path)
        if options.trace:
            from procession._report.trace import trace

            Path(options.trace).write_text(json.dumps(trace(run)))
        if options.json:
            print(json.dumps(document(run), indent=1))
        if options.output or options.open or not (options.trace or options.json):
            _write_page(run, options, path)
    except (OSError, ValueError) as error:
        sys.exit(f"procession report: {clean(str(error))}")


def _newest():
    there = sorted(Path().glob(f"*{_SUFFIX}"), key=lambda path: path.stat().st_mtime)
    if not there:
        sys.exit(
            f"procession report: no recording (*{_SUFFIX}) here. Make one: procession run --record script.py, "
            "or PROCESSION_RECORD=FILE python script.py"
        )
    return str(there[-1])


def _write_page(run, options, path):
    from procession._report.page import page

    name = options.output or os.fspath(Path(path).with_suffix(".html"))
    Path(name).write_text(page(run), encoding="utf-8")
    if not options.json:
        print(ascii_only("\n".join(_lines(run))))
    print(ascii_only(f"page: {name}"), file=sys.stderr if options.json else sys.stdout)
    if options.open:
        import webbrowser

        webbrowser.open(Path(name).absolute().as_uri())


def _lines(run):
    """The answer in a few lines."""
    share = f", {percent(min(1.0, run.busy / run.available))} of their time used" if run.available else ""
    yield f"{clean(run.program)}: {span(run.seconds)}, {number(run.tasks)} tasks on {len(run.lanes)} workers{share}"
    for finding in findings(run):
        yield f"  {clean(finding.title)}"
        yield f"      {clean(finding.advice)}"


def document(run: Run) -> dict[str, Any]:
    """A run as a JSON document: what `--json` prints."""
    return {
        "version": 1,
        "program": run.program,
        "about": run.about,
        "seconds": run.seconds,
        "tasks": run.tasks,
        "workers": len(run.lanes),
        "busy": run.busy,
        "whole": run.is_whole,
        "findings": [asdict(finding) for finding in findings(run)],
        "functions": [asdict(summary) for summary in summaries(run)],
        "failures": [{**asdict(failure), "function": run.jobs[failure.job].function} for failure in run.failures],
    }
