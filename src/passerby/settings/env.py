"""Reads settings from a mapping, such as Django's settings, or from the environment.

The names are those of the keywords. A mapping has the settings of each destination under the name by which the
destination is registered, such as ``"sitecore"``; in the environment they follow the name:
``PASSERBY_SITECORE_CLIENT_KEY``. Several destinations of one kind have their settings under their names:
``{"customerio": {"eu": {"write_key": ...}, "us": {...}}}``, and ``PASSERBY_CUSTOMERIO_EU_WRITE_KEY``. Blanks around
values in the environment are ignored, and an empty value counts as not set.

A destination that is not registered is found by the path of its class: ``{"warehouse": {"class":
"myproject.tracking:Warehouse", "url": ...}}`` and ``PASSERBY_WAREHOUSE_CLASS``, or in a mapping with the path as its
name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from inspect import Parameter, formatannotation, signature
from typing import Any, cast

from ..destinations import Destination
from ..destinations.registry import DestinationFactory, find, is_path, load, registered_names
from ..destinations.target import COLLECTOR_URL
from ..errors import PasserbyError, SettingsError
from .setting import read_boolean, read_list, read_number, read_whole
from .settings import SETTINGS

_PREFIX = "PASSERBY_"
_names_service = re.compile(
    r"PASSERBY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)",
    re.ASCII,
).fullmatch
_CLASS = "class"  # under which a destination's settings have the path of its class
_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
_READERS: Mapping[str, Callable[[str], Any]] = {"bool": read_boolean, "int": read_whole, "float": read_number}
_is_list_of_texts = re.compile(
    r"(?:\w+\.)*(?:list|tuple|set|frozenset|Sequence|Collection|Iterable)\[str\b.*\]"
).fullmatch


def read_mapping(values: Mapping[str, Any]) -> tuple[list[Destination], dict[str, Any]]:
    """Split a mapping into destinations and settings.

    Raises:
        SettingsError: a destination's settings are not a mapping, or contain an unknown name.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"found {type(values).__name__}, expected a mapping of settings")
    for name in values:
        if not isinstance(name, str):
            raise SettingsError(f"found a name of type {type(name).__name__}, expected text")
    rest = {name: value for name, value in values.items() if name in SETTINGS}
    others = {name: value for name, value in values.items() if name not in SETTINGS}
    known = {name: place for place, name in enumerate(registered_names())} if others else {}
    destinations: list[Destination] = []
    for name in sorted(others, key=lambda name: known.get(_folded(name), len(known))):
        if _folded(name) in known or is_path(name) or isinstance(others[name], Mapping):
            destinations += _make_all(name, others[name])
        else:
            rest[name] = others[name]  # for which there is an error that lists the settings
    return destinations, rest


def variable_of(name: str) -> str:
    """Return the environment variable of a setting such as ``"sitecore.client_key"``."""
    return _PREFIX + name.replace(".", "_").upper()


def own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return passerby's variables, without blanks around their values. An empty one counts as not set.

    Kubernetes sets variables for each Service of a namespace, in each container. Those of a Service called passerby, or
    passerby-collector, begin like passerby's and are left out, and so is the address of a collector that runs the app.
    """
    found = {name: text.strip() for name, text in environ.items() if name.startswith(_PREFIX) and name != COLLECTOR_URL}
    return {name: text for name, text in found.items() if text and not _is_of_service(name, text)}


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read a mapping from the environment. Items of lists are separated by commas, times are in seconds.

    Raises:
        SettingsError: a value is not of its setting's type, or there is no setting of that name.
    """
    readers = {name: kind.read for name, kind in SETTINGS.items() if kind.read is not None}
    found = own_variables(environ)
    given = {name[len(_PREFIX) :].lower(): name for name in found}
    paths = {name[: -len(f"_{_CLASS}")]: found[given[name]] for name in given if name.endswith(f"_{_CLASS}")}
    values: dict[str, Any] = {}
    for name, variable in given.items():
        if name in readers:
            values[name] = _read(variable, readers[name], found[variable])
            continue
        kind = _kind_of(name, paths)
        if kind is None:
            raise SettingsError(
                f"{variable}: found no setting of that name; there are {', '.join(sorted(readers))}, "
                f"and those of the destinations {', '.join(registered_names())}"
            )
        _read_own(values.setdefault(kind, {}), kind, name[len(kind) + 1 :], variable, found[variable], paths)
    return values


def _is_of_service(variable: str, text: str) -> bool:
    if _names_service(variable):
        return True
    return variable.endswith("_PORT") and text.partition("://")[0] in ("tcp", "udp", "sctp")


def _folded(name: str) -> str:
    return name.replace("-", "_").lower()


def _kind_of(name: str, paths: Mapping[str, str]) -> str | None:
    """Return the destination of a variable: the longest name that is a prefix of it."""
    fitting = [kind for kind in (*registered_names(), *paths) if name.startswith(f"{kind}_")]
    return max(fitting, key=len, default=None)


def _read_own(place: dict[str, Any], kind: str, own: str, variable: str, text: str, paths: Mapping[str, str]) -> None:
    """Add a setting of a destination to the destination's mapping."""
    if own == _CLASS:
        place[_CLASS] = text
        return
    try:
        make = load(paths[kind]) if kind in paths else find(kind)
    except SettingsError as error:
        raise SettingsError(
            error.message, setting=variable_of(f"{kind}.{_CLASS}" if kind in paths else kind)
        ) from error
    known = _parameters_of(make, kind)
    named, setting = _part(known, own)
    if named is not None:
        place = place.setdefault(named, {})
    place[setting] = _read(variable, _reader_of(known.get(setting)), text)


def _part(known: Mapping[str, Parameter], own: str) -> tuple[str | None, str]:
    """Split the part of a variable after the kind into the destination's name, if there is one, and its setting."""
    if own in known:
        return None, own
    fitting = [setting for setting in known if own.endswith(f"_{setting}")]
    setting = max(fitting, key=len, default=own)
    return (own[: -len(setting) - 1], setting) if fitting else (None, own)


def _make_all(kind: str, own: Any) -> list[Destination]:
    """Make the destinations of a kind: one from the settings on this level, and others from those under their names."""
    if not isinstance(own, Mapping):
        raise SettingsError(f"found {type(own).__name__}, expected a mapping of its settings", setting=kind)
    values = dict(cast("Mapping[str, Any]", own))
    place = kind.replace(".", ":") if is_path(kind) else kind  # points separate a destination from its settings
    given = values.pop(_CLASS, None)
    make = _find(kind, place, given)
    known = _parameters_of(make, place)
    named = {
        name: cast("Mapping[str, Any]", value)
        for name, value in values.items()
        if isinstance(value, Mapping) and name not in known
    }
    rest = {name: value for name, value in values.items() if name not in named}
    first = {"name": kind, **rest} if given is not None and "name" in known else rest
    made = [_make(make, known, place, first)] if rest or not named else []
    return made + [_make(make, known, f"{place}.{name}", {"name": name, **value}) for name, value in named.items()]


def _find(kind: str, place: str, given: Any) -> DestinationFactory:
    """Return the class that makes the destinations of a kind: the configured one, or the registered one."""
    if callable(given):
        return cast("DestinationFactory", given)
    try:
        if given is not None:
            if not isinstance(given, str):
                raise SettingsError(f"found {type(given).__name__}, expected the path of a class, or a class")
            return load(given)
        if is_path(kind):
            return load(kind)
        if _folded(kind) in registered_names():
            return find(kind)
    except SettingsError as error:
        raise SettingsError(error.message, setting=place if given is None else f"{place}.{_CLASS}") from error
    raise SettingsError(
        f"found no setting and no destination of that name; there are the destinations "
        f'{", ".join(registered_names())}; for one of your own set "{_CLASS}" to its path',
        setting=kind,
    )


def _parameters_of(make: Callable[..., Any], place: str) -> Mapping[str, Parameter]:
    try:
        return signature(make).parameters
    except (TypeError, ValueError):
        raise SettingsError("found a class whose arguments are unknown; name its arguments", setting=place) from None


def _make(
    make: DestinationFactory, known: Mapping[str, Parameter], place: str, values: Mapping[str, Any]
) -> Destination:
    names = [name for name, parameter in known.items() if parameter.kind in _NAMED]
    takes_all = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in known.values())
    for name in values:
        if name not in names and not takes_all:
            raise SettingsError(
                f"found no setting of that name; there are {', '.join(names)}", setting=f"{place}.{name}"
            )
    for name in names:
        if name not in values and known[name].default is Parameter.empty:
            raise SettingsError("found none, expected one", setting=f"{place}.{name}")
    try:
        return make(**values)
    except SettingsError as error:
        raise error.spelled(lambda name: f"{place}.{name}") from None
    except PasserbyError:
        raise
    except Exception as error:  # a class of the app may raise anything, and its message may contain secrets
        raise SettingsError(f"the destination could not be made: {type(error).__name__}", setting=place) from error


def _reader_of(parameter: Parameter | None) -> Callable[[str], Any]:
    """Return the function that parses a destination's setting, from its default or its annotation."""
    if parameter is None:
        return str
    if isinstance(parameter.default, bool | int | float):
        return _READERS.get(type(parameter.default).__name__, str)
    annotation: object = parameter.annotation
    words = annotation if isinstance(annotation, str) else formatannotation(annotation)
    types = [word.strip() for word in words.split("|") if word.strip() != "None"]
    if len(types) == 1 and types[0] in _READERS:
        return _READERS[types[0]]
    return read_list if types and all(map(_is_list_of_texts, types)) else str


def _read(variable: str, read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except SettingsError as error:
        raise SettingsError(f"{variable}: {error.message}") from None
