"""nltk: stems of words, by a stemmer that is made at import."""

import sys

import procession as multiprocessing
from nltk.stem import PorterStemmer
from nltk.util import ngrams

STEMMER = PorterStemmer()


def stems(text):
    return [STEMMER.stem(word) for word in text.split()], list(ngrams(text.split(), 2))


if __name__ == "__main__":
    texts = ["running runners ran", "easily fairly", "connected connections"]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(stems, texts) == [stems(text) for text in texts]
