"""How long probes wait for what has to happen: so many times longer on a busy machine."""

import os

VARIABLE = "PROBE_PATIENCE"
MOST_S = 60.0  # to which limits grow


def patient(seconds, patience):
    """Return the limit in seconds that stands for one of `seconds` on an idle machine."""
    return min(seconds * patience, max(seconds, MOST_S))


def limit(seconds):
    """Return the same for a probe and its workers, whose patience is in the environment."""
    return patient(seconds, float(os.environ.get(VARIABLE, "1")))
