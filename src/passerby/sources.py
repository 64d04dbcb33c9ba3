"""Where settings come from other than keywords: a mapping, such as Django's settings, or the environment.

The names are those of the keywords. A mapping holds each destination's own settings under its kind, such as
``"sitecore"``; in the environment they follow the kind: ``PASSERBY_SITECORE_CLIENT_KEY``. Of several destinations of
one kind, each has its settings under its name: ``{"customerio": {"eu": {"write_key": ...}, "us": {...}}}``, and
``PASSERBY_CUSTOMERIO_EU_WRITE_KEY``. Blanks around values do not count, and an empty value is none.
"""

from __future__ import annotations

import re
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
_names_service = re.compile(
    r"PASSERBY_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)",
    re.ASCII,
).fullmatch


def read_mapping(values: Mapping[str, Any]) -> tuple[list[Destination], dict[str, Any]]:
    """Part a mapping into destinations and settings.

    Raises:
        SettingsError: a destination's settings are no mapping, or it knows none of that name.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(f"found {type(values).__name__}, expected a mapping of settings")
    for name in values:
        if not isinstance(name, str):
            raise SettingsError(f"found a name of type {type(name).__name__}, expected text")
    rest = dict(values)
    destinations = [one for kind in _KINDS if kind in rest for one in _make_all(kind, rest.pop(kind))]
    return destinations, rest


def variable_of(name: str) -> str:
    """Return the environment variable of a setting such as ``"sitecore.client_key"``."""
    return _PREFIX + name.replace(".", "_").upper()


def own_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that are passerby's, without blanks around their values; an empty one counts as not set.

    Kubernetes sets variables for each Service of a namespace, in each container: those of one that is called passerby,
    or passerby-collector, begin like passerby's and are left out. So is the address of a collector beside the app.
    """
    found = {name: text.strip() for name, text in environ.items() if name.startswith(_PREFIX) and name != COLLECTOR_URL}
    return {name: text for name, text in found.items() if text and not _is_of_service(name, text)}


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the mapping out of the environment; lists are parted by commas, times are in seconds.

    Raises:
        SettingsError: a value is not of its setting's type, or there is no setting of that name.
    """
    kinds = {one.name: _type_of(one) for one in fields(Settings) if one.name not in _NOT_TEXT}
    values: dict[str, Any] = {}
    for variable, text in own_variables(environ).items():
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


def _is_of_service(variable: str, text: str) -> bool:
    if _names_service(variable):
        return True
    return variable.endswith("_PORT") and text.partition("://")[0] in ("tcp", "udp", "sctp")


def _read_own(variable: str, own: str, text: str) -> Any:
    return _read(variable, own, bool if own in _SWITCHES else str, text)


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
