"""Where PyInstaller finds what it has to know of this package; it asks by the entry point `pyinstaller40`."""

import os

__all__ = ["hook_dirs"]


def hook_dirs():
    """Return the directories with hooks."""
    return [os.path.dirname(__file__)]
