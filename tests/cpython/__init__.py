"""The interpreter's own tests of `multiprocessing`, run against procession: `python -m tests.cpython --help`.

The files are those that come with the interpreter that runs them. They are read from there, changed and run in a
temporary folder, and nothing of them is kept. `expected.txt` lists what does not pass, with the reasons.
"""
