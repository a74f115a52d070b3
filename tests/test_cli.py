"""The command `procession`."""

import os
import subprocess
import sys

import pytest


def command(*arguments, **options):
    call = [sys.executable, "-c", "from procession.cli import main; main()", *arguments]
    return subprocess.run(call, capture_output=True, text=True, timeout=300, **options)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["bench", "--help"], ["run", "--help"]])
def test_help_says_what_there_is(arguments):
    done = command(*arguments)
    assert done.returncode == 0 and "usage:" in done.stdout and "procession" in done.stdout


def test_version_is_the_package_s():
    import procession

    assert command("--version").stdout == f"procession {procession.__version__}\n"


@pytest.mark.parametrize("arguments", [["brench"], ["bench", "--rounds", "0"], ["bench", "--start-method", "thread"]])
def test_what_makes_no_sense_is_refused(arguments):
    done = command(*arguments)
    assert done.returncode != 0 and arguments[-1] in done.stderr


def test_run_runs_a_program_with_multiprocessing_replaced(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import multiprocessing, sys\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.Pool(2) as pool:\n"
        "        print(multiprocessing.__name__, pool.map(abs, [-1, -2]), sys.argv[1:])\n"
    )
    done = command("run", str(program), "an argument")
    assert done.stdout == "procession [1, 2] ['an argument']\n", done.stderr


@pytest.mark.timeout(360)  # of many pools, one after the other
def test_bench_prints_a_row_for_each_workload():
    from procession.cli.bench import ROWS

    done = command("bench", "--quick", "--rounds", "1")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()[3:]
    assert len(lines) == len(ROWS) and all(line.rstrip().endswith(" x") for line in lines), done.stdout


def test_a_bench_whose_output_nobody_reads_ends_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-c", "from procession.cli import main; main()", "bench", "--quick", "--rounds", "1"]
    result = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=110)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")
