"""Pools on several machines: an engine of a cluster carries, a pool on each node does the rest."""
