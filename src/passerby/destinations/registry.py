"""Finds destinations: by the name under which a package registers one, and by the dotted path of a class.

A package registers its destinations in the entry point group ``passerby.destinations``; passerby's own are registered
in the same way. Nothing is imported before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, cast

from ..errors import SettingsError
from . import Destination

GROUP = "passerby.destinations"

# The same as the entry points in pyproject.toml, for source that was copied and not installed.
BUILT_IN: Mapping[str, str] = {
    "sitecore": "passerby.destinations.sitecore:Sitecore",
    "customerio": "passerby.destinations.customerio:CustomerIO",
    "datalyr": "passerby.destinations.datalyr:Datalyr",
    "segment": "passerby.destinations.segment:Segment",
    "webhook": "passerby.destinations.webhook:Webhook",
}

DestinationFactory = Callable[..., Destination]


@lru_cache(maxsize=1)
def _registered() -> Mapping[str, Mapping[str, str]]:
    """Return by name the paths of the registered destinations, with the packages that register them."""
    found: dict[str, dict[str, str]] = {name: {} for name in BUILT_IN}
    for one in entry_points(group=GROUP):
        package = one.dist.name if one.dist is not None else "an unnamed package"
        # Settings and environment variables are written with underscores.
        found.setdefault(one.name.replace("-", "_").lower(), {})[f"{one.module}:{one.attr}"] = package
    for name, path in BUILT_IN.items():
        if not found[name]:
            found[name][path] = "passerby"
    return found


def clear_cache() -> None:
    """Clear the cached entry points; for tests that install some."""
    _registered.cache_clear()


def registered_names() -> tuple[str, ...]:
    """Return the names of all registered destinations, passerby's own first."""
    return tuple(_registered())


def find(name: str) -> DestinationFactory:
    """Return the class that is registered under a name.

    Raises:
        SettingsError: there is none or more than one, or it cannot be imported.
    """
    paths = _registered().get(name.replace("-", "_").lower(), {})
    if not paths:
        raise SettingsError(f"found no destination of the name {name!r}; there are {', '.join(registered_names())}")
    if len(paths) > 1:
        packages = ", ".join(sorted(set(paths.values())))
        raise SettingsError(
            f"found several destinations of the name {name!r}, of the packages {packages}, expected one; "
            "remove all packages but one, or name the class by its path"
        )
    (path,) = paths
    return load(path)


def is_path(text: str) -> bool:
    """Return whether a text is a dotted path: ``package.module:Class`` or ``package.module.Class``."""
    module, name = _split_path(text)
    return bool(module) and all(part.isidentifier() for part in (*module.split("."), *name.split(".")))


def load(path: str) -> DestinationFactory:
    """Return the object at a dotted path: a class or function that makes a destination from keyword arguments.

    Args:
        path: ``package.module:Class`` or ``package.module.Class``.

    Raises:
        SettingsError: the path is invalid, cannot be imported, or the object is not callable.
    """
    if not is_path(path):
        raise SettingsError(f'found {path!r}, expected the path of a class, such as "myproject.tracking:Warehouse"')
    module, name = _split_path(path)
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # the module may fail in any way
        raise SettingsError(f"cannot import {path!r}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise SettingsError(f"found {type(found).__name__} at {path!r}, expected a class that makes a destination")
    return cast("DestinationFactory", found)


def _split_path(path: str) -> tuple[str, str]:
    module, colon, name = path.partition(":")
    if not colon:
        module, _, name = path.rpartition(".")
    return module, name
