"""The own tests of libraries built on `multiprocessing`, run on procession: `python -m tests.dependents --help`.

Sources come from the package registries, in pinned versions; everything is made in a temporary folder, and nothing of
it is kept.
`expected.txt` lists the tests that differ from a run with the standard library, with the reasons.
"""
