"""What every module of the package imports, read from the source without running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"


@dataclass(frozen=True, slots=True)
class Import:
    """One module asking for another."""

    module: str  # who imports, such as "passerby.http.visitor_cookies"
    target: str  # what is imported, such as "passerby.errors" or "http.client"
    line: int
    in_function: bool

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: imports {self.target}"

    def reaches(self, *libraries: str) -> bool:
        return any(is_within(self.target, library) for library in libraries)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@cache
def source_files() -> dict[str, Path]:
    """Return every module of the package with its file."""
    return {_name_of(path): path for path in sorted((SOURCE / "passerby").rglob("*.py"))}


@cache
def read_imports() -> list[Import]:
    """Return every import of every module, those in functions and those for type checkers included."""
    return [found for module, path in source_files().items() for found in _imports_of(module, path)]


def _name_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports_of(module: str, path: Path) -> Iterator[Import]:
    for node, in_function in _walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import():
                targets = [alias.name for alias in node.names]
            case ast.ImportFrom():
                origin = _origin_of(node, module, is_package=path.stem == "__init__")
                targets = [_module_of(origin, alias.name) for alias in node.names]
            case _:
                continue
        for target in dict.fromkeys(targets):
            yield Import(module, target, node.lineno, in_function)


def _walk(node: ast.AST, in_function: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        yield child, in_function
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _walk(child, in_function or is_function)


def _origin_of(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    folder = module.split(".") if is_package else module.split(".")[:-1]
    folder = folder[: len(folder) - node.level + 1]
    return ".".join([*folder, node.module] if node.module else folder)


def _module_of(origin: str, name: str) -> str:
    """Tell a module taken from its package (`from . import errors`) from a name (`from .errors import X`)."""
    return f"{origin}.{name}" if f"{origin}.{name}" in source_files() else origin
