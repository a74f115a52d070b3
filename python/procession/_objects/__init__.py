"""How objects travel: which functions and values, by name, by value or by reference, and what fails on the way."""
