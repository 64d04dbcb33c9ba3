"""Makes the parts of a `Tracking`, each from the settings that it needs. No other module gets all settings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import inf
from pathlib import Path

from ..browser_ids.browser_ids import BrowserIds
from ..delivery import Delivery
from ..delivery.dry_run import dry_run_mode
from ..delivery.sender import RetryPlan
from ..destinations import BrowserIdIssuer, CookieOwner, Destination, SharedCookie
from ..destinations.contract import check_destination
from ..errors import SettingsError
from ..events.builder import Defaults
from ..http.cookie_context import CookieContext
from ..http.cookie_set import CookieSet, GuestCookie
from ..http.policy import Policy
from ..http.proxies import TrustedProxies
from ..http.session_reader import SessionReader
from ..http.visitor_cookies import BrowserIdCookie, IdentityCookie, LogOutCookie
from ..outbox.contract import EventStore, Quotas, StorageError
from ..outbox.memory import MemoryStore
from ..outbox.outbox import LEASE, Outbox
from ..settings.settings import Settings
from .client import Client
from .store_wait import StoreWait

MAX_IN_MEMORY, MAX_ON_DISK = 100_000, 1_000_000  # entries


def check_destinations(destinations: Sequence[Destination]) -> None:
    """Raise SettingsError for an object that is not a destination, and for destinations that exclude each other."""
    for one in destinations:
        check_destination(one)
    if len({one.name for one in destinations}) < len(destinations):
        raise SettingsError("two destinations have the same name; set different ones with name=...")
    owners = [one.name for one in destinations if isinstance(one, CookieOwner) and one.shared_cookie is not None]
    if len(owners) > 1:
        raise SettingsError(
            f"found several destinations that own the browser ID's cookie, {', '.join(owners)}, expected one at most: "
            "one Sitecore(...), or one Datalyr(..., share_visitors=True)"
        )
    issuers = [one.name for one in destinations if isinstance(one, BrowserIdIssuer)]
    if len(issuers) > 1:
        raise SettingsError(f"found several destinations that issue browser IDs, {', '.join(issuers)}, expected one")


def shared_cookie_of(destinations: Sequence[Destination]) -> SharedCookie | None:
    """Return the browser ID's cookie that a destination shares with its browser SDK, if there is one."""
    shared = (one.shared_cookie for one in destinations if isinstance(one, CookieOwner))
    return next((one for one in shared if one is not None), None)


def make_client(
    destinations: Sequence[Destination], settings: Settings, shared: SharedCookie | None, proxies: TrustedProxies
) -> Client:
    """Make the client with its outbox and delivery."""
    dry_run_mode.detect_tests()
    if settings.send_in_tests:
        dry_run_mode.allowed.update(one.origin for one in destinations)
    issuer = next((one for one in destinations if isinstance(one, BrowserIdIssuer)), None)
    cookie = shared or SharedCookie(settings.cookie_name)
    lease = max(LEASE, 3 * settings.request_timeout)
    room = (settings.max_events or MAX_IN_MEMORY) if settings.outbox_directory is None else inf
    outbox = Outbox(_make_store(settings), settings.when_full, room, lease=lease, follows=settings.deliver == "thread")
    given = (("channel", settings.channel), ("currency", settings.currency), ("language", settings.language))
    plan = _retry_plan(settings)
    browser_ids = BrowserIds(issuer, cookie.id_format, outbox, plan, settings.browser_id_pool_size)
    return Client(
        destinations,
        cookie=cookie,
        browser_ids=browser_ids,
        outbox=outbox,
        delivery=Delivery(
            destinations, browser_ids, outbox, plan, settings.close_timeout, settings.deliver == "thread"
        ),
        store_wait=StoreWait(outbox, settings.store_timeout),
        proxies=proxies,
        defaults=_defaults(settings),
        common_data=tuple((name, value) for name, value in given if value is not None),
    )


def make_session_reader(settings: Settings, shared: SharedCookie | None, proxies: TrustedProxies) -> SessionReader:
    """Make the session reader with its cookies."""
    is_readable = shared is not None  # by the browser SDK
    shared = shared or SharedCookie(settings.cookie_name)
    keys, attributes = settings.secret_keys, settings.cookie_attributes.for_name(shared.name)
    guest = (
        None if shared.guest is None else GuestCookie(shared.guest, attributes, shared.old_guest, shared.keeps_guest)
    )
    if not settings.set_cookie and any(not one.wins for one in shared.old):
        raise SettingsError(
            "found False beside the cookie of another Sitecore form (adopt_engage_cookie or adopt_edge_cookie), "
            "expected True: the browser SDK, which sets the cookie otherwise, gives each visitor a new ID",
            setting="set_cookie",
        )
    # If only passerby writes the ID, it has a signature. Without one it may have been chosen by an attacker.
    has_other_writers = is_readable or not settings.set_cookie

    def make_cookies(name: str, wins: bool = False) -> CookieSet:
        attributes = settings.cookie_attributes.for_name(name)
        cookie = BrowserIdCookie(
            name,
            attributes,
            keys,
            readable=is_readable,
            cookie_renew_after=settings.cookie_renew_after,
            on_bad_signature=settings.on_bad_signature,
            on_missing_signature=settings.on_missing_signature or ("adopt" if has_other_writers else "reissue"),
            id_format=shared.id_format,
        )
        if not keys:
            return CookieSet(cookie, wins=wins)
        identity = IdentityCookie(f"{name}_uid", attributes, keys, settings.identity_max_age)
        log_out = LogOutCookie(f"{name}_out", attributes, keys, settings.identity_max_age)
        return CookieSet(cookie, identity, log_out, wins)

    # Where the browser SDK sets the cookie, no page waits for an ID.
    context = CookieContext(attributes, proxies) if settings.set_cookie else None
    policy = Policy(
        settings.consent,
        settings.gpc,
        settings.bots,
        settings.ignored_paths,
        assigns_ids=settings.set_cookie,
        opt_out=shared.opt_out,
        context=context,
        bot_cookie=shared.bot,
        id_format=shared.id_format,
    )
    old = [make_cookies(one.name, one.wins) for one in shared.old]
    return SessionReader(make_cookies(shared.name), policy, proxies, settings.cache_control, old, guest)


def _defaults(settings: Settings) -> Defaults:
    return Defaults(
        infer_from_request=settings.infer_from_request,
        ip=settings.ip,
        redact_url=settings.redact_url,
        page_name=settings.page_name,
        identity_provider=settings.identity_provider,
        remembers_users=settings.remembers_users,
        on_user_change=settings.on_user_change,
        on_invalid=settings.on_invalid,
        sensitive_traits=settings.sensitive_traits,
        hash_traits=settings.hash_traits,
    )


def _make_store(settings: Settings) -> EventStore:
    directory = settings.outbox_directory
    if directory is None:
        return MemoryStore(Quotas(settings.max_events or MAX_IN_MEMORY, settings.max_bytes, settings.when_full))
    try:
        from ..outbox.sqlite import SqliteStore  # noqa: PLC0415 - not everybody has what it needs
    except ImportError as error:  # Python without SQLite, or a system without file locks
        raise SettingsError(f'found no module {error.name}, which "sqlite:" needs', setting="outbox") from None
    try:
        _check_place(Path(directory))
        quotas = Quotas(settings.max_events or MAX_ON_DISK, settings.max_bytes, settings.when_full)
        return SqliteStore(directory, settings.sqlite_synchronous, quotas)
    except (OSError, ValueError, StorageError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"the directory cannot be used ({reason}); choose another", setting="outbox") from None


def _check_place(directory: Path) -> None:
    """Raise SettingsError if a directory cannot be created or written. It is created later, with the first event."""
    place = directory
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise SettingsError(f"found a file at {place}, expected a directory", setting="outbox")
    if not os.access(place, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise SettingsError(f"{place} cannot be written by the user that the app runs as", setting="outbox")


def _retry_plan(settings: Settings) -> RetryPlan:
    return RetryPlan(
        base=settings.retry_base,
        cap=settings.retry_cap,
        age=settings.retry_age,
        concurrency=settings.concurrency,
        timeout=settings.request_timeout,
    )
