"""Measurements of procession beside its peers: speed (`python -m benches`) and faults (`python -m benches.faults`)."""
