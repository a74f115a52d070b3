"""The settings that a process gets of its own, under every start method."""

import json
import os

import pytest

LIMIT = 60


def tell(path):
    import resource

    told = {
        "set": os.environ.get("PROCESSION_SET"),
        "removed": os.environ.get("PROCESSION_REMOVED"),
        "cwd": os.getcwd(),
        "nice": os.nice(0),
        "cpus": sorted(os.sched_getaffinity(0)),
        "memory": resource.getrlimit(resource.RLIMIT_DATA)[0],
    }
    with open(path, "w") as file:
        json.dump(told, file)


def take(size):
    bytearray(size)


def finish(process):
    process.join(LIMIT)
    return process.exitcode


def test_a_process_has_the_settings_it_was_given(context, tmp_path, monkeypatch):
    monkeypatch.setenv("PROCESSION_REMOVED", "yes")
    cpu = min(os.sched_getaffinity(0))
    process = context.Process(
        target=tell,
        args=(str(tmp_path / "told"),),
        env={"PROCESSION_SET": "1", "PROCESSION_REMOVED": None},
        cwd=tmp_path,
        nice=3,
        cpu_affinity=[cpu],
        max_memory=2 << 30,
    )
    process.start()
    assert finish(process) == 0
    assert json.loads((tmp_path / "told").read_text()) == {
        "set": "1",
        "removed": None,
        "cwd": str(tmp_path),
        "nice": os.nice(0) + 3,
        "cpus": [cpu],
        "memory": 2 << 30,
    }


def test_more_memory_than_the_limit_is_a_memory_error(context, capfd):
    process = context.Process(target=take, args=(1 << 30,), max_memory=512 << 20)
    process.start()
    assert finish(process) == 1
    assert "MemoryError" in capfd.readouterr().err


def test_a_directory_that_is_not_there_fails_the_child(context, capfd):
    process = context.Process(target=take, args=(1,), cwd="/not/there")
    process.start()
    assert finish(process) == 1
    assert "FileNotFoundError" in capfd.readouterr().err


@pytest.mark.parametrize(
    "wrong", [{"nice": "3"}, {"env": {"A": 1}}, {"cpu_affinity": ["a"]}, {"max_memory": 1.5}, {"unknown": 1}]
)
def test_settings_of_the_wrong_type_are_refused_at_once(context, wrong):
    with pytest.raises(TypeError):
        context.Process(**wrong)


@pytest.mark.parametrize("wrong", [{"cpu_affinity": []}, {"max_memory": 0}])
def test_settings_out_of_range_are_refused_at_once(context, wrong):
    with pytest.raises(ValueError):
        context.Process(**wrong)


@pytest.mark.parametrize("refused", [{"cwd": "/nowhere/at/all"}, {"cpu_affinity": [1023]}])
def test_the_error_for_a_setting_that_the_system_refuses_says_which(context, refused, capfd):
    [(name, value)] = refused.items()
    process = context.Process(target=print, args=("it ran",), **refused)
    process.start()
    assert finish(process) == 1
    output = capfd.readouterr()
    assert f"the process could not be given {name}={value!r}" in output.err and "it ran" not in output.out
