"""scikit-learn: a forest that each worker asks, and models that workers fit."""

import sys

import numpy as np
import procession as multiprocessing
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

DATA, LABELS = make_classification(200, random_state=1)


def score(strength):
    return LogisticRegression(C=strength).fit(DATA, LABELS).score(DATA, LABELS)


if __name__ == "__main__":
    forest = RandomForestClassifier(10, random_state=1).fit(DATA, LABELS)
    # Solvers of numbers start threads: they are made where no child has copies of them.
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        parts = np.array_split(DATA, 4)
        assert np.array_equal(np.concatenate(pool.map(forest.predict, parts)), forest.predict(DATA))
        assert pool.map(score, [0.1, 1.0]) == [score(0.1), score(1.0)]
