"""One workload a file: each is a program that measures one library once.

It prints the number, and how many seconds the work took that the number is from.

`python -m benches.rows.apply procession fork` runs one alone; `python -m benches` runs them side by side.
"""
