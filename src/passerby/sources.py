"""Where settings come from other than keywords: a mapping, such as Django's settings, or the environment.

The names are those of the keywords. A mapping holds each destination's own settings under its kind, such as
``"sitecore"``; in the environment they follow the kind: ``PASSERBY_SITECORE_CLIENT_KEY``. Of several destinations of
one kind, each has its settings under its name: ``{"customerio": {"eu": {"write_key": ...}, "us": {...}}}``, and
``PASSERBY_CUSTOMERIO_EU_WRITE_KEY``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from inspect import Parameter, signature
from typing import Any, cast

from .config import WITHOUT_LIMIT, Settings
from .destinations import Destination
from .destinations.customerio import CustomerIO
from .destinations.datalyr import Datalyr
from .destinations.sitecore import Sitecore
from .destinations.target import COLLECTOR_URL
from .errors import SettingsError

_KINDS: Mapping[str, Callable[..., Destination]] = {
    "sitecore": Sitecore,
    "customerio": CustomerIO,
    "datalyr": Datalyr,
}
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
_LISTS = frozenset({"secret_key", "trusted_proxies", "trusted_proxy_headers", "skipped_paths", "hash_traits"})
_SWITCHES = frozenset({"include_utm_parameters", "requested_at", "gzip", "strict", "share_visitors"})  # of destinations
_NOT_TEXT = frozenset({"consent", "redact_url"})
_WHOLE = frozenset({"max_events"})  # numbers that are None by default
_PREFIX = "PASSERBY_"


def read_mapping(values: Mapping[str, Any]) -> tuple[list[Destination], dict[str, Any]]:
    """Part a mapping into destinations and settings.

    Raises:
        SettingsError: a destination's settings are no mapping, or it knows none of that name.
    """
    rest = dict(values)
    destinations = [one for kind in _KINDS if kind in rest for one in _make_all(kind, rest.pop(kind))]
    return destinations, rest


def variable_of(name: str) -> str:
    """Return the environment variable of a setting such as ``"sitecore.client_key"``."""
    return _PREFIX + name.replace(".", "_").upper()


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the mapping out of the environment; lists are parted by commas, times are in seconds.

    Raises:
        SettingsError: a value is not of its setting's type, or there is no setting of that name.
    """
    kinds = {one.name: _type_of(one) for one in fields(Settings) if one.name not in _NOT_TEXT}
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(_PREFIX) or variable == COLLECTOR_URL:
            continue
        name = variable[len(_PREFIX) :].lower()
        kind, _, own = name.partition("_")
        if kind in _KINDS:
            named, setting = _part(kind, own)
            place = values.setdefault(kind, {})
            place = place if named is None else place.setdefault(named, {})
            place[setting] = _read_own(variable, setting, text)
        elif name in kinds:
            values[name] = _read(variable, name, kinds[name], text)
        else:
            raise SettingsError(f"{variable}: found no setting of that name; there are {', '.join(sorted(kinds))}")
    return values


def _read_own(variable: str, own: str, text: str) -> Any:
    return _read(variable, own, bool if own in _SWITCHES else str, text.strip())


def _part(kind: str, own: str) -> tuple[str | None, str]:
    """Part what follows the kind in a variable into the destination's name, if it has one, and its setting."""
    known = signature(_KINDS[kind]).parameters
    if own in known:
        return None, own
    fitting = [setting for setting in known if own.endswith(f"_{setting}")]
    setting = max(fitting, key=len, default=own)
    return (own[: -len(setting) - 1], setting) if fitting else (None, own)


def _make_all(kind: str, own: Any) -> list[Destination]:
    """Make the destinations of a kind: the one whose settings stand there, and those that stand under their names."""
    if not isinstance(own, Mapping):
        raise SettingsError(f"found {type(own).__name__}, expected a mapping of its settings", setting=kind)
    values = cast("Mapping[str, Any]", own)
    named = {name: cast("Mapping[str, Any]", value) for name, value in values.items() if isinstance(value, Mapping)}
    rest = {name: value for name, value in values.items() if name not in named}
    made = [_make(kind, kind, rest)] if rest or not named else []
    return made + [_make(kind, f"{kind}.{name}", {"name": name, **value}) for name, value in named.items()]


def _make(kind: str, place: str, values: Mapping[str, Any]) -> Destination:
    make = _KINDS[kind]
    known = signature(make).parameters
    for name in values.keys() - known.keys():
        raise SettingsError(f"found no setting of that name; there are {', '.join(known)}", setting=f"{place}.{name}")
    for name in known.keys() - values.keys():
        if known[name].default is Parameter.empty:
            raise SettingsError("found none, expected one", setting=f"{place}.{name}")
    try:
        return make(**values)
    except SettingsError as error:
        raise error.spelled(lambda name: f"{place}.{name}") from None


def _type_of(setting: Field[Any]) -> type:
    if setting.name in _WHOLE:
        return int
    default: object = setting.default
    return str if default is None or default is MISSING else type(default)


def _read(variable: str, name: str, kind: type, text: str) -> Any:
    if name == "trusted_proxies" and text.strip().isdecimal():
        return int(text)
    if name in _LISTS:
        return [piece.strip() for piece in text.split(",") if piece.strip()]
    if name == "cookie_secure" and text.lower() == "auto":
        return "auto"
    if kind is bool or name == "cookie_secure":
        if text.lower() not in _BOOLEANS:
            raise SettingsError(f"{variable}: expected true or false")
        return _BOOLEANS[text.lower()]
    if name in WITHOUT_LIMIT and text.strip().lower() == "none":
        return None
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise SettingsError(f"{variable}: expected a number") from None
    return text
