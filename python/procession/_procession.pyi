"""The compiled half of procession: what the binding crate exports."""

__version__: str
