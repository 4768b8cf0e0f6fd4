"""The glossary speaks of things that exist, and the documentation keeps to one word for each."""

import re
from functools import cache
from pathlib import Path

import pages
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hmarl", "aggregator", "retail", "wholesale")
CODE = re.compile(r"`([^`]+)`")


@cache
def sources():
    return "\n".join(path.read_text(encoding="utf-8") for name in PACKAGES for path in (ROOT / name).rglob("*.py"))


def rows(page):
    """Rows of all tables of a page as dicts of their cells."""
    head = None
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" |")] if line.startswith("|") else None
        if cells is None:
            head = None
        elif head is None:
            head = [cell.strip() for cell in line.strip().strip("|").split("|")]
        elif not set(line) <= set("|- :"):
            yield dict(zip(head, [*cells, ""], strict=False))


TERMS = list(rows(ROOT / "docs" / "glossary.md"))


@pytest.mark.parametrize("row", TERMS, ids=lambda row: row["term"])
def test_every_term_of_the_glossary_is_one_of_the_code(row):
    names = CODE.findall(row["in code"])
    assert names, f"{row['term']} names nothing of the code"
    for name in names:
        assert re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", sources()), f"{name} is not in the code"


def test_a_thing_has_one_word():
    avoided = {word.strip() for row in TERMS for word in row.get("not called", "").split(",")} - {""}
    assert len(avoided) > 10
    glossary = ROOT / "docs" / "glossary.md"
    for page in {*pages.written(), *ROOT.glob("studies/*/README.md")} - {glossary}:
        text = page.read_text(encoding="utf-8").lower()
        for word in avoided:
            assert not re.search(rf"\b{word}s?\b", text), f"{page.relative_to(ROOT)} says {word!r}; see the glossary"
