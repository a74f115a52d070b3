"""One workload a file: each is a program that measures one library once and prints one number.

`python -m benches.rows.apply procession fork` runs one alone; `python -m benches` runs them side by side.
"""
