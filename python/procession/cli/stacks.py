"""`procession stacks`: the Python stacks of the workers of any program, without a debugger and without its parent."""

import argparse
import sys
from typing import Any

from procession._pool.amounts import short_span
from procession._pool.stacks import STACKS
from procession._procession import stacks_of
from procession.cli.survey import Survey, belonging
from procession.cli.text import ascii_only, clean

__all__ = ["main", "stacks"]


def main(arguments: list[str]) -> None:
    """Print the stacks.

    Args:
        arguments: the command line, a list of str.

    Raises:
        SystemExit: it makes no sense, or there is no such worker.
    """
    command = argparse.ArgumentParser(
        prog="procession stacks",
        description="Shows where in their Python code the workers of pools are. The programs go on and do not notice.",
    )
    command.add_argument(
        "pid", nargs="*", type=int, help="only these workers, or those of the pools of these processes"
    )
    command.add_argument("--timeout", type=float, default=1.0, help="seconds to wait for each worker (default: 1)")
    options = command.parse_args(arguments)
    if not 0 < options.timeout <= 3600:
        command.error(f"--timeout must be more than 0 and at most 3600 seconds, not {options.timeout:g}")
    survey = Survey().look()
    pools = belonging(survey, options.pid)
    if not pools and options.pid:
        sys.exit("procession stacks: no pool that can be seen has process " + " or ".join(map(str, options.pid)))
    if not pools:
        print("No pool of yours runs.")
    for pool in pools:
        for worker in pool["workers"]:
            if not options.pid or pool["pid"] in options.pid or worker["pid"] in options.pid:
                print(ascii_only(stacks(pool, worker, options.timeout)), flush=True)


def stacks(pool: dict[str, Any], worker: dict[str, Any], limit: float) -> str:
    """Return the stacks of a worker as text, behind a line that says what it runs.

    Args:
        pool, worker: of a `survey.Survey`.
        limit: how many seconds to wait at most.
    """
    task = worker["task"]
    doing = f"is {worker['state']}"
    if task is not None:
        given = f"({clean(task['arguments'])})" if task["arguments"] else f"[{task['index']}]"
        doing = f"runs {clean(task['function'] or '?')}{given} for {short_span(task['seconds'])}"
    title = f"worker {worker['place']} (pid {worker['pid']}) of {clean(pool['program'])} {doing}\n"
    try:
        found = stacks_of(pool["pid"], worker["number"], worker["pid"], int(STACKS), limit)
    except (OSError, ValueError) as error:
        return f"{title}  {error}\n"
    if found is None:
        return f"{title}  no answer within {limit:g} s\n"
    lines = found.decode(errors="replace").splitlines()
    return title + "".join(f"{clean(line)}\n" for line in lines)
