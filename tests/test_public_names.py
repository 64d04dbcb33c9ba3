"""The public names are listed once, on purpose, and each says what it is for."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import ModuleType

import passerby


def exported_names() -> set[str]:
    """Return what the package shows without an underscore, its modules aside."""
    hidden = {"annotations"}  # what `from __future__ import annotations` leaves behind
    return {
        name
        for name, value in vars(passerby).items()
        if not name.startswith("_") and name not in hidden and not isinstance(value, ModuleType)
    }


def test_all_is_what_the_package_exports() -> None:
    assert set(passerby.__all__) == exported_names(), "list each public name in passerby.__all__, and no other"


def test_all_is_sorted() -> None:
    assert list(passerby.__all__) == sorted(passerby.__all__), "sort passerby.__all__"


def test_every_public_name_has_a_docstring() -> None:
    # A dataclass without a docstring is given its signature instead, which says nothing.
    silent = [
        name
        for name in passerby.__all__
        if not name.startswith("__") and (inspect.getdoc(getattr(passerby, name)) or f"{name}(").startswith(f"{name}(")
    ]
    assert not silent, f"say in a docstring what these are for: {silent}"


def test_every_public_method_has_a_docstring() -> None:
    silent = [
        f"{name}.{attribute}"
        for name in passerby.__all__
        for attribute, value in methods_of(getattr(passerby, name))
        if not inspect.getdoc(value)
    ]
    assert not silent, f"say in a docstring what these do: {silent}"


def methods_of(exported: object) -> Iterator[tuple[str, object]]:
    """Yield the methods and properties that a public class shows, inherited ones included."""
    for attribute, value in inspect.getmembers(exported) if inspect.isclass(exported) else ():
        if not attribute.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
            yield attribute, value
