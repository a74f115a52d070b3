"""How pools work: their crews of processes or threads, what runs in a worker, results, and what is told of them."""
