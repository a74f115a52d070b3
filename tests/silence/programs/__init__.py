"""One program for each library; `python FILE METHOD` runs it with a start method."""
