"""Beautiful Soup: pages that workers read."""

import sys

import procession as multiprocessing
from bs4 import BeautifulSoup


def links(page):
    return [str(link["href"]) for link in BeautifulSoup(page, "html.parser").find_all("a")]


if __name__ == "__main__":
    pages = [f"<p><a href='{number}'>x</a><a href='more'>y</a></p>" for number in range(10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        assert pool.map(links, pages) == [[str(number), "more"] for number in range(10)]
