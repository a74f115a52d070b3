"""Eight threads on one object of each kind, with an interpreter lock and without: nothing is lost or mixed up."""
