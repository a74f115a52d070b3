"""joblib: its `Parallel` on our backend."""

import math
import sys

import joblib
import procession as multiprocessing
import procession.joblib

if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    procession.joblib.register()
    with joblib.parallel_config("procession", n_jobs=2):
        roots = joblib.Parallel()(joblib.delayed(math.sqrt)(number) for number in range(50))
    assert roots == [math.sqrt(number) for number in range(50)]
