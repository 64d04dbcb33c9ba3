"""The packages and their imports, as a diagram: `python -m tests.layout_diagram` writes it into docs/architecture.md.

An arrow that follows from two others is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from tests.imports import read_imports, source_files
from tests.test_architecture import PACKAGES

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
COMMAND = "python -m tests.layout_diagram"
EVERYWHERE = frozenset({"version", "errors", "logs", "values"})  # nearly all import these

_diagram = re.compile(r"(?<=<!-- layout -->\n).*?(?=<!-- /layout -->)", re.DOTALL)
_table = re.compile(r"(?<=<!-- packages -->\n).*?(?=<!-- /packages -->)", re.DOTALL)


def package_of(module: str) -> str:
    """Return the package or top-level module that a module belongs to; `passerby` for the root."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def imports_by_package() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in PACKAGES.split()}
    for one in read_imports():
        if one.reaches("passerby"):
            importer, imported = package_of(one.module), package_of(one.target)
            if importer != imported:
                found[importer].add(imported)
    return found


def reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += graph[name]
    return found


def diagram() -> str:
    graph = {name: imported - EVERYWHERE for name, imported in imports_by_package().items() if name not in EVERYWHERE}
    lines = ["```mermaid", "flowchart TD"]
    for name, imported in graph.items():
        behind = {far for near in imported for far in reachable(graph, near)}
        lines += [f"    {name} --> {one}" for one in sorted(imported - behind)]
    return "\n".join([*lines, "```", ""])


def first_line(module: str) -> str:
    """Return the first sentence of a module's docstring."""
    text = source_files()[module].read_text(encoding="utf-8")
    found = re.match(r'"""(.+?)(?:"""|\n\n)', text, re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def table() -> str:
    lines = ["| package | what it has |", "| --- | --- |"]
    for name in PACKAGES.split():
        module = name if name == "passerby" else f"passerby.{name}"
        lines.append(f"| `{name}` | {first_line(module)} |")
    return "\n".join([*lines, ""])


def page_as_generated() -> str:
    text = _diagram.sub(lambda _: diagram(), PAGE.read_text(encoding="utf-8"))
    return _table.sub(lambda _: table(), text)


if __name__ == "__main__":
    PAGE.write_text(page_as_generated(), encoding="utf-8")
