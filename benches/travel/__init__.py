"""How large values of libraries travel: what arrives, by how many copies, and in what time.

`scripts/travel --write docs/large-data.md` installs the libraries, measures, and fills the table of that page.
"""
