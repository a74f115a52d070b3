"""The checks of `procession doctor`: of the machine, of Python, of libraries, of a program."""
