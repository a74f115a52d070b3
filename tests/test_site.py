"""The site has a place for every page of docs/ and for every public name."""

import re
import subprocess
import sys
from pathlib import Path

import procession
import pytest

ROOT = Path(__file__).parent.parent
# Named by other pages: constants, and what the standard library has for its own use.
NOT_SHOWN = {"reducer", "SUBDEBUG", "SUBWARNING"}
API = "\n".join(path.read_text() for path in (ROOT / "site" / "api").glob("*.md"))


@pytest.fixture(scope="module")
def assembled(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    subprocess.run([sys.executable, ROOT / "site" / "assemble.py", directory], check=True)
    return directory


def test_every_public_name_is_on_a_page_of_the_api():
    shown = set(re.findall(r"^\.\. auto\w+:: procession\.(?:\w+\.)*(\w+)", API, re.MULTILINE))
    # A context has a method of the name of each function that makes something.
    shown |= set(dir(procession.context.BaseContext))
    assert set(procession.__all__) - NOT_SHOWN - shown == set()


def test_every_page_of_docs_has_a_place_in_the_contents():
    contents = (ROOT / "site" / "contents.md").read_text().split()
    assert [path.stem for path in (ROOT / "docs").glob("*.md") if path.stem not in contents] == []


def test_links_of_the_site_lead_to_its_own_pages(assembled):
    for page in assembled.rglob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.relative_to(assembled)} links to {link}"
