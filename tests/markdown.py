"""Reading the pages: their sentences, tables, examples and headings."""

from __future__ import annotations

import re
from collections.abc import Iterator

_LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\([^)]*\)")


def without_code(page: str) -> str:
    """Leave out blocks of code and what programs print, and HTML comments."""
    return re.sub(r"^```.*?^```\n|<!--.*?-->\n?", "", page, flags=re.DOTALL | re.MULTILINE)


def sentences(page: str) -> Iterator[str]:
    """Give the sentences of a page without code; a heading, a list item and a table's cell begin one."""
    text = _LINK.sub(r"\1", re.sub(r"`[^`]+`", "code", page))
    for block in re.split(r"\n\s*\n|\n(?=#|\s*- |\s*\d+\. |\|)|\n(?<=\|\n)", text):
        for part in block.split("|") if block.startswith("|") else [block]:
            for sentence in re.split(r"(?<=[.!?])[*\s]+(?=\S)", part):
                if sentence.strip(" \n*#-|"):
                    yield " ".join(sentence.split())


def rows(page: str, name: str) -> list[list[str]]:
    """Return the rows of the table between two comments of this name, without its heading."""
    section = page.partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0]
    return [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")][2:]


def examples(page: str) -> list[str]:
    """Return the examples that are marked as such."""
    return re.findall(r"<!-- example -->\n```python\n(.+?)```", page, re.DOTALL)


def anchors(page: str) -> set[str]:
    """Return what links to the headings of a page may end with."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", without_code(page), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", _LINK.sub(r"\1", heading).lower()).replace(" ", "-")
        found.add(name)
    return found
