"""What only type checkers read of the package: overloads, and what is made at run time. No process imports it."""
