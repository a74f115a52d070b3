"""The sweep: ordinary workloads made from lists, each a pair by turns with the standard library."""
