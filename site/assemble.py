"""Puts the pages of the site together: those of docs/, those of the repository, the examples, the API.

python site/assemble.py DIRECTORY

Pages are written for readers of the repository, so their links lead from file to file there; here each is led to a page
of the site. A link to what is no page, such as a folder of sources, becomes its text.
"""

import re
import shutil
import sys
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parent.parent
# Pages from outside docs/: where they stand in the repository, and in the site.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "benches/results.md": "figures/results.md",
    "benches/growth.md": "figures/growth.md",
}
EXAMPLES = "examples.md"
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
SUMMARY = re.compile(r'^"""(.*?)(?:\n|""")', re.DOTALL)


def assemble(directory):
    """Write all pages into a directory, which is made anew.

    Args:
        directory: a Path.
    """
    shutil.rmtree(directory, ignore_errors=True)
    pages = dict(PAGES)
    for path in sorted((ROOT / "docs").iterdir()):
        pages[f"docs/{path.name}"] = path.name
    for path in (ROOT / "site" / "api").glob("*.md"):
        pages[f"site/api/{path.name}"] = f"api/{path.name}"
    for source, page in pages.items():
        target = directory / page
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".md"):
            target.write_text(led((ROOT / source).read_text(), PurePosixPath(source), page, pages))
        else:
            shutil.copy(ROOT / source, target)
    (directory / EXAMPLES).write_text(examples())
    with (directory / "index.md").open("a") as index:
        index.write((ROOT / "site" / "contents.md").read_text())


def led(text, source, page, pages):
    """Return the text of a page with links that lead to pages of the site; programs stay as they are."""

    def lead(link):
        target, anchor = link["target"], link["anchor"] or ""
        if "://" in target or not target:
            return link[0]
        path = within(source.parent / target)
        if path == "examples" or path.startswith("examples/"):
            path, anchor = EXAMPLES, "" if path == "examples" else "#" + PurePosixPath(path).stem
        elif path in pages:
            path = pages[path]
        else:
            return link["text"]
        return f"{link['image']}[{link['text']}]({'../' * page.count('/')}{path}{anchor})"

    pieces = FENCED.split(text)
    return "".join(piece if FENCED.fullmatch(piece) else LINK.sub(lead, piece) for piece in pieces)


def within(path):
    """Return a path of the repository without `..`, as text."""
    parts = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def examples():
    """Return a page with the programs of examples/, each with the first line of its docstring."""
    lines = [
        "# Examples",
        "",
        "Each of these runs at every change of procession. Their twins in Rust are in `crates/procession/examples`.",
    ]
    for program in sorted((ROOT / "examples").glob("*.py")):
        text = program.read_text()
        summary = SUMMARY.search(text)
        lines += ["", f"## {program.stem}", "", summary[1] if summary else "", "", "```python", text.rstrip(), "```"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
