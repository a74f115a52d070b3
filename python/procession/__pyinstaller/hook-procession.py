"""Modules are imported when they are needed, by names that no analysis of the code sees: all go into the bundle."""

from PyInstaller.utils.hooks import collect_submodules

# These are for programs that are not frozen, and would bring libraries with them.
_APART = ("procession.__pyinstaller", "procession.cli", "procession.joblib")

hiddenimports = collect_submodules("procession", lambda name: not name.startswith(_APART))
