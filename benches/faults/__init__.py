"""The fault matrix: small programs in which one task is guilty, run against procession and its peers.

A probe passes when the guilty task alone fails, with an error that names the cause, the other tasks give their
results, the pool finishes another map afterwards, and nothing is left behind.
"""
