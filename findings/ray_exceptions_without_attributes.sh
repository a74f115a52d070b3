#!/bin/sh
# ray 2.60.0 (seen on CPython 3.11.7): an exception that a task raises is caught by its class, but its attributes are those of
# an empty one: `errno` and `filename` of an OSError and `name` of an ImportError are None, `args[0]` of a KeyError is not the
# key. What was raised is whole in `cause`, so code that is moved into a task and asks `e.errno` silently goes the other way.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check ray==2.60.0
cat >program.py <<'END'
import ray

settings = {"num_cpus": 1, "include_dashboard": False, "logging_level": "ERROR", "log_to_driver": False}
ray.init(address="local", object_store_memory=100_000_000, **settings)


def opens():
    open("/nowhere/at/all")


def looks_up():
    return {}["k"]


def imports():
    import no_module_of_that_name


def told(error):
    names = ("errno", "filename", "name")
    return {name: getattr(error, name) for name in names if hasattr(error, name)} or error.args[0] == "k"


for function, kind in ((opens, FileNotFoundError), (looks_up, KeyError), (imports, ModuleNotFoundError)):
    try:
        function()
    except kind as error:
        print(kind.__name__, "here:", told(error))
    try:
        ray.get(ray.remote(max_retries=0)(function).remote())
    except kind as error:
        print(kind.__name__, "from a task:", told(error), "its cause:", told(error.cause))
END
cat >seen <<'END'
FileNotFoundError here: {'errno': 2, 'filename': '/nowhere/at/all'}
FileNotFoundError from a task: {'errno': None, 'filename': None} its cause: {'errno': 2, 'filename': '/nowhere/at/all'}
KeyError here: True
KeyError from a task: False its cause: True
ModuleNotFoundError here: {'name': 'no_module_of_that_name'}
ModuleNotFoundError from a task: {'name': None} its cause: {'name': 'no_module_of_that_name'}
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
