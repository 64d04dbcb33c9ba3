"""Rebuilds a destination elsewhere, such as in a worker process, from the path of its class and plain arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

from ..errors import PasserbyError, SettingsError
from ..values.secret import Secret
from . import Destination
from .contract import check_destination
from .registry import load


@runtime_checkable
class Rebuildable(Protocol):
    """A destination that can be rebuilt from keyword arguments."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The keyword arguments that make an equal destination: plain values, and `Secret` for secrets."""
        ...


@dataclass(frozen=True, slots=True)
class DestinationSpec:
    """The path of a class and the keyword arguments that make a destination of it. It can be pickled.

    Attributes:
        path: ``package.module:Class``.
        options: plain values, and `Secret` for secrets.
    """

    path: str
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        for name, value in self.options.items():
            if not _is_plain(value):
                raise SettingsError(
                    f"found {type(value).__name__} in the option {name} of {self.path}, "
                    "expected plain values: text, numbers, bools, None, lists and dicts of them, and Secret"
                )

    def build(self) -> Destination:
        """Make the destination. Raises SettingsError."""
        try:
            made = load(self.path)(**self.options)
        except PasserbyError:
            raise
        except Exception as error:  # a class of the app's
            raise SettingsError(f"{self.path} could not be made from its options: {type(error).__name__}") from error
        check_destination(made)
        return made


def spec_of(destination: Destination) -> DestinationSpec:
    """Return the spec from which a destination can be rebuilt.

    Raises:
        SettingsError: its class is not found by its path, or it has no `options`.
    """
    kind = type(destination)
    path = f"{kind.__module__}:{kind.__qualname__}"
    if not isinstance(destination, Rebuildable) or not isinstance(cast("object", destination.options), Mapping):
        raise SettingsError(
            f"the destination {kind.__name__} cannot be rebuilt: it lacks `options`, the keyword arguments "
            "that make an equal one; see docs/writing-a-destination.md"
        )
    if kind.__module__ == "__main__" or "<locals>" in path or cast("object", load(path)) is not kind:
        raise SettingsError(f"the destination {kind.__name__} cannot be rebuilt: define its class in a module")
    return DestinationSpec(path, dict(destination.options))


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, cast("list[object]", value)))
    if isinstance(value, dict):
        items = cast("dict[object, object]", value).items()
        return all(isinstance(name, str) and _is_plain(item) for name, item in items)
    return value is None or isinstance(value, str | bool | int | float | Secret)
