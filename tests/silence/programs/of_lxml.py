"""lxml: documents that workers parse, with a parser made at import."""

import sys

import procession as multiprocessing
from lxml import etree

PARSER = etree.XMLParser(remove_blank_text=True)


def names(document):
    return [element.tag for element in etree.fromstring(document, PARSER).iter()]


if __name__ == "__main__":
    documents = [f"<a{number}><b/><c/></a{number}>" for number in range(10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(names, documents) == [[f"a{number}", "b", "c"] for number in range(10)]
