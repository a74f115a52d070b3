"""`procession top`: what the pools of this machine do, of any program, without anything being switched on in it."""

import argparse
import json
import os
import shutil
import sys
import time
from typing import Any

from procession.cli import table
from procession.cli.survey import Survey, belonging
from procession.cli.text import ascii_only

__all__ = ["main"]

# Between the two looks of `--once`, of which the second knows what was used since.
SPAN_S = 0.25


def main(arguments: list[str]) -> None:
    """Show the table.

    Args:
        arguments: the command line, a list of str.

    Raises:
        SystemExit: it makes no sense, or a process that was asked for has no pool.
    """
    command = argparse.ArgumentParser(
        prog="procession top",
        description="Shows the pools of this machine: their jobs, their workers, what each runs since when, and "
        "whether it is on a CPU.",
    )
    command.add_argument("pid", nargs="*", type=int, help="only the pools of these processes, or with these workers")
    command.add_argument(
        "--once", action="store_true", help="one table and no more; so where the output is no terminal"
    )
    command.add_argument("--json", action="store_true", help="the same as one JSON document")
    command.add_argument("--interval", type=float, default=1.0, help="seconds between two looks (default: 1)")
    options = command.parse_args(arguments)
    if not 0.1 <= options.interval <= 3600:
        command.error(f"--interval must be 0.1 to 3600 seconds, not {options.interval:g}")
    if options.json or options.once or not sys.stdout.isatty():
        _once(options)
    else:
        from procession.cli.live import follow

        follow(options)


def _once(options):
    survey = Survey().look()
    time.sleep(SPAN_S)
    pools = belonging(survey.look(), options.pid)
    if options.json:
        print(json.dumps(document(pools, survey), indent=1))
    else:
        width = shutil.get_terminal_size((120, 24)).columns
        lines = table.lines_of(pools, survey, width)
        in_colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print(ascii_only(table.colored(lines) if in_colours else table.plain(lines)))
    if options.pid and not pools:
        sys.exit("procession top: no pool that can be seen has process " + " or ".join(map(str, options.pid)))


def document(pools: list[dict[str, Any]], survey: Survey) -> dict[str, Any]:
    """Return what `--json` prints: the fields are listed in `docs/seeing.md`."""
    from procession import __version__

    hidden_fields = {"number", "note"}
    return {
        "procession": __version__,
        "pools": [
            {
                **{key: value for key, value in pool.items() if key not in ("past", "workers")},
                "workers": [
                    {
                        key: _task(value) if key == "task" else value
                        for key, value in worker.items()
                        if key not in hidden_fields
                    }
                    for worker in pool["workers"]
                ],
            }
            for pool in pools
        ],
        "others": [{"pid": pid, "version": version} for pid, version in survey.others],
        "hidden": survey.hidden,
    }


def _task(task):
    if task is None or task["progress"] is None:
        return task
    done, total, text = task["progress"]
    return {**task, "progress": {"done": done, "total": total, "text": text}}
