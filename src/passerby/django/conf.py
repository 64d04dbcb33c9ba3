"""The setting `PASSERBY` of a Django project, and the tracking made from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

try:
    from django.conf import settings
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError('Django is not installed. Run: pip install "passerby[django]"', name="django") from _error
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.db import DEFAULT_DB_ALIAS
from django.utils.module_loading import import_string

from ..client.sites import Sites
from ..client.tracking import Tracking
from ..errors import SettingsError
from ..settings.secret_keys import keys_of_framework
from ..settings.setting import PlainFunction, SettingType, setting, types_of
from ..settings.settings import SETTINGS
from ..values.callbacks import discard_awaitable
from .transactions import DatabaseTransactions

_READ_FROM = ("PASSERBY", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATABASES")


@dataclass(frozen=True, kw_only=True, slots=True)
class DjangoSettings:
    """Settings for Django projects, in addition to `passerby.settings.settings.Settings`."""

    on_commit: bool | None = setting(None, SettingType("`True`, `False`"))
    """Whether events that are tracked in a transaction are recorded when it is committed, and dropped if it is rolled
    back; see below. Without it that is as `ATOMIC_REQUESTS` of the database says."""
    using: str = setting(DEFAULT_DB_ALIAS, SettingType("text"))
    """The database whose transactions count."""
    ignored_namespaces: Collection[str] = setting(("admin",), SettingType("list of texts"))
    """Namespaces of URLs that are no pages of the site: requests there are no page views by themselves, and give a
    visitor no ID unless something is tracked. An application namespace or that of an instance; see below."""
    auth_signals: bool = setting(False, SettingType("`True`, `False`"))
    """Whether a log-in sends an identity, with the user's primary key, and a log-out resets it."""
    auth_staff: bool = setting(True, SettingType("`True`, `False`"))
    """Whether that holds for the log-ins of staff and superusers too."""
    auth_filter: str | Callable[[Any, Any], bool] | None = setting(
        None, PlainFunction("takes a request and a user and gives True or False")
    )
    """Called with the request and the user who logs in. What is not true leaves the log-in out, such as that of a
    member of staff as a customer."""
    user_traits: str | Callable[[Any], Mapping[str, Any]] | None = setting(
        None, PlainFunction("takes a user and gives a dict")
    )
    """Called with the user who logs in, gives their traits."""
    tracking: str | Tracking | Sites | None = setting(None, SettingType("`Tracking`, `Sites`"))
    """One that you have made yourself, instead of all settings but the seven above."""

    def __post_init__(self) -> None:
        for name in ("on_commit", "auth_signals", "auth_staff"):
            if getattr(self, name) not in (True, False) and not (name == "on_commit" and self.on_commit is None):
                raise SettingsError(f"found {getattr(self, name)!r}, expected True or False", setting=name)
        if self.using != DEFAULT_DB_ALIAS and self.using not in list(settings.DATABASES):
            raise SettingsError(f"found {self.using!r}, expected a database of DATABASES", setting="using")
        spaces: object = self.ignored_namespaces
        if isinstance(spaces, str) or not isinstance(spaces, Collection) or not all(isinstance(n, str) for n in spaces):
            raise SettingsError("expected a list of namespaces", setting="ignored_namespaces")
        for name, kind in _OWN.items():
            if isinstance(kind, PlainFunction):
                kind.check(name, _load(name, getattr(self, name)))

    @property
    def defers(self) -> bool:
        """Whether events wait for the transaction in which they are tracked."""
        if self.on_commit is None:
            return bool(settings.DATABASES.get(self.using, {}).get("ATOMIC_REQUESTS"))
        return self.on_commit

    def wants_log_in(self, request: Any, user: Any) -> bool:
        """Return whether `auth_filter` allows tracking a log-in."""
        wants = _load("auth_filter", self.auth_filter)
        return wants is None or bool(wants(request, user))

    def traits_of(self, user: Any) -> Mapping[str, Any] | None:
        """Return the traits of a user."""
        find = _load("user_traits", self.user_traits)
        traits: Mapping[str, Any] | None = None if find is None else find(user)
        if discard_awaitable(traits):
            raise SettingsError("found an awaitable, expected a dict", setting="user_traits")
        return traits


_OWN = types_of(DjangoSettings)
_making = threading.RLock()  # reentrant: importing a module named in the settings may call `get_tracking`
_made: list[Tracking | Sites] = []  # one at most


def get_tracking() -> Tracking | Sites:
    """Return the project's tracking, made on first use from the setting `PASSERBY`.

    Raises ImproperlyConfigured if a setting is missing or wrong, with the name used in the project.
    """
    with _making:
        if not _made:
            _made.append(_make())
            setting_changed.connect(_forget, dispatch_uid="passerby.django.conf")
        return _made[0]


def read_own_settings() -> DjangoSettings:
    """Return the settings for Django. Raises ImproperlyConfigured."""
    try:
        return DjangoSettings(**{name: value for name, value in _values().items() if name in _OWN})
    except SettingsError as error:
        raise ImproperlyConfigured(str(error.spelled(_spell))) from None


def _make() -> Tracking | Sites:
    own = read_own_settings()
    try:
        source = _from_settings() if own.tracking is None else _given(own.tracking)
    except SettingsError as error:
        raise ImproperlyConfigured(str(error)) from None
    if own.defers:
        source.record_with(DatabaseTransactions(own.using))
    return source


def _given(tracking: str | Tracking | Sites) -> Tracking | Sites:
    source = _load("tracking", tracking)
    if not isinstance(source, Tracking | Sites):
        expected = "a Tracking or Sites, or the dotted path of one"
        raise SettingsError(f"found {type(source).__name__}, expected {expected}", setting=_spell("tracking"))
    for name in _others():
        raise SettingsError(f"{_spell('tracking')} has settings of its own; set it there", setting=_spell(name))
    return source


def _others() -> dict[str, Any]:
    """Return the other settings."""
    return {name: value for name, value in _values().items() if name not in _OWN}


def _from_settings() -> Tracking:
    values = _others()
    for name, kind in SETTINGS.items():
        if isinstance(kind, PlainFunction) and kind.is_path(values.get(name)):
            values[name] = _load(name, values[name])
    if "secret_key" in values:
        return Tracking.from_mapping(values, _spell)
    keys = keys_of_framework("SECRET_KEY", settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS)
    return Tracking.from_mapping({**values, "secret_key": keys}, _spell)


def _values() -> Mapping[str, Any]:
    values = getattr(settings, "PASSERBY", None)
    if isinstance(values, Mapping):
        return cast("Mapping[str, Any]", values)
    found = "none" if values is None else type(values).__name__
    expected = '{"sitecore": {"client_key": ...}}'
    raise ImproperlyConfigured(f"PASSERBY: found {found}, expected a dict such as {expected}")


def _load(name: str, value: Any) -> Any:
    """Return the object at a dotted path, or any other value unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return import_string(value)
    except ImportError as error:
        raise ImproperlyConfigured(f"{_spell(name)}: {error}") from error


def _spell(name: str) -> str:
    return "".join(["PASSERBY", *(f'["{part}"]' for part in name.split("."))])


def _forget(setting: str, **rest: Any) -> None:
    """Discard the tracking when a test has changed the settings."""
    if setting in _READ_FROM:
        with _making:
            _made.clear()
