"""Every setting, in one frozen value that is checked at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypedDict, cast

from ..errors import SettingsError
from ..events.builder import PageName
from ..events.context import IpPolicy, RedactUrl
from ..http.caching import CacheControl
from ..http.policy import SKIPPED_PATHS, BotPolicy, Consent, GpcPolicy
from ..http.proxies import TRUSTED_HEADERS, TrustedProxies
from ..http.set_cookie import MAX_AGE, CookieAttributes, SameSite, Secure, check_cookie_name
from ..http.visitor_cookies import IDENTITY_MAX_AGE, RENEW_AFTER, OnMissingSignature, OnTamper
from ..values.app_values import has_control_characters
from ..values.callbacks import check_function


@dataclass(frozen=True, slots=True)
class UnfitKey:
    """A framework's own secret key that is too short to sign with; in place of a secret key it stands for none.

    Attributes:
        name: what the app calls it.
    """

    name: str


SecretKeys = str | bytes | Sequence[str | bytes] | UnfitKey
Synchronous = Literal["NORMAL", "FULL"]
WhenFull = Literal["drop_newest", "drop_oldest", "raise"]

OnUserChange = Literal["rotate", "refuse", "link"]

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "on_invalid": ("raise", "drop"),
    "on_user_change": ("rotate", "refuse", "link"),
    "sensitive_traits": ("refuse", "allow"),
    "gpc": ("respect", "ignore"),
    "bots": ("drop", "tag", "keep"),
    "ip": ("truncate", "keep", "drop"),
    "on_tamper": ("reissue", "adopt"),
    "on_missing_signature": ("reissue", "adopt", None),
    "cache_control": ("private", "override", "keep"),
    "when_full": ("drop_newest", "drop_oldest", "raise"),
    "synchronous": ("NORMAL", "FULL"),
}
_MAX_PATH = 4000  # characters; systems take 4,096 bytes with the names of the files
_TEXTS = ("channel", "currency", "language", "identity_provider")
_SWITCHES = ("infer", "auto_page_views", "send_in_tests", "cookie_partitioned", "server_cookie")
_WHOLE = {
    "spare_browser_ids": (0, 100),
    "concurrency": (1, 1000),
    "max_events": (1, 10**9),
    "max_bytes": (1, 10**15),
}
_SECONDS = (
    "identity_max_age",
    "renew_after",
    "mint_timeout",
    "barrier_timeout",
    "close_timeout",
    "request_timeout",
    "retry_base",
    "retry_cap",
    "retry_age",
)
WITHOUT_LIMIT = frozenset({"barrier_timeout"})  # times of which None stands for no limit


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a `Tracking`, with their defaults. All times are in seconds.

    Attributes:
        secret_key: signs the cookies; a list rotates keys, the first signs. Without one nothing is signed, the user ID
            is not remembered over requests, and a cookie is not renewed before its time is up.
        outbox: where events wait: "memory" loses them with the process; "sqlite:///var/lib/shop/outbox" keeps them in
            files of that directory, which is made if need be, and loses nothing.
        synchronous: what an event in a file survives: "NORMAL" the death of the process, "FULL" a power cut too.
        channel: default for event data, such as "WEB".
        currency: default for event data, three letters (ISO 4217).
        language: default for event data, two letters (ISO 639-1).
        identity_provider: the provider whose identifier is the user ID.
        on_user_change: what an identity does to a browser that belongs to another user: "rotate" gives the browser a
            new ID, which has no past, "refuse" drops the identity, "link" keeps the browser ID for both users.
        sensitive_traits: what becomes of a trait that looks like a password, a token, or a number of a card or of
            social security: "refuse" raises ValidationError, "allow" takes it.
        hash_traits: the names of traits of which only the SHA-256 hash is told, such as ``{"email"}``.
        redact_url: called with the page's URL and with the referrer, in which secrets are masked already; gives what is
            to be kept of them, or None for nothing. If it raises, all but the host is masked.
        page_name: how a page is named where the call does not: "route" by the pattern of its route, such as
            ``"products/{slug}"``, and where there is none as "path" does, by the last part of its path. Or a callable
            that is given the request's facts and gives the name, or None to have it named by its route.
        infer: whether page, language and referrer are taken from the request where the call does not give them.
        auto_page_views: whether a page view is recorded for every page that a visitor sees: HTML with a 2xx status, or
            304, in answer to a navigation, also to one that HTMX, Turbo or Inertia makes, unless the app has recorded
            one itself.
        on_invalid: what a tracking call does with what cannot be sent: "raise" ValidationError, or "drop", log and
            count.
        send_in_tests: whether events are sent to the destinations from runs of tests too; by default they are dropped
            and counted.
        consent: called with the request's facts; see `passerby.http.policy.Policy`.
        gpc: whether `Sec-GPC: 1` is respected.
        bots: what to do with known bots.
        ip: what becomes of the visitor's address: "truncate", "keep" or "drop".
        skipped_paths: paths that are no pages, nor is anything below them; without the prefix under which the app is
            mounted (`root_path`, `SCRIPT_NAME`).
        trusted_proxies: addresses and networks whose forwarded headers are believed, "unix" or "*"; or the number of
            proxies in front of the app; see `passerby.http.proxies.TrustedProxies`.
        trusted_proxy_headers: the forwarded headers that the trusted proxies write; no others are read.
        cookie_name: the browser-ID cookie's name where no destination owns it.
        cookie_domain: the cookies' domain; None binds them to the host.
        cookie_path: the cookies' path.
        cookie_max_age: at most 400 days.
        cookie_same_site: "lax", "strict" or "none" (for embedded sites).
        cookie_secure: "auto", True or False.
        cookie_partitioned: for embedded sites with partitioned storage.
        server_cookie: whether cookies are set at all; False leaves that to the browser SDK.
        identity_max_age: for how long the user ID of an identity is remembered.
        cache_control: what keeps a response with a cookie out of shared caches: "private" adds `private` to its
            Cache-Control unless the app keeps caches out itself, and sets no cookie where the app lets them keep it;
            "override" makes such a response private too; "keep" never changes a header, and sets cookies only where the
            app keeps caches out.
        renew_after: how old a signed cookie must be to be set again.
        on_tamper: what a wrong signature leads to: "reissue" a new ID, or "adopt" the one that is there.
        on_missing_signature: what an ID without a signature leads to where there is a secret key: "reissue" a new ID,
            or "adopt" the one that is there. None adopts where a browser SDK writes the cookie too, else reissues.
        spare_browser_ids: how many IDs are kept ready when nobody comes; the busier it is, the more. 0 makes none
            ahead.
        mint_timeout: how long a new visitor's request may wait for an ID when none is ready.
        barrier_timeout: how long a response may wait until what was told in its request is in the file; None waits
            without limit, unless the disk takes nothing. A response whose wait runs out starts before its events are
            in the file (`Stats.late`), and a process that is killed then loses them.
        close_timeout: how long the interpreter's exit may be held up to deliver what waits.
        request_timeout: how long one call to a destination may take.
        retry_base: see `passerby.delivery.sender.RetryPlan`.
        retry_cap: the longest wait between two attempts.
        retry_age: after which time an event that never got through becomes a dead letter.
        concurrency: calls at once to one destination.
        max_events: how many events may wait per destination, and how many may be held in event queues; 100,000 in
            memory and a million in files by default.
        max_bytes: how large all events in the file of one process may be together.
        when_full: what becomes of an event for which there is no room: "drop_newest" drops it, "drop_oldest" the first
            of the visitor who has waited longest, "raise" has the call raise ValidationError.
    """

    secret_key: SecretKeys | None = field(default=None, repr=False)
    outbox: str = "memory"
    synchronous: Synchronous = "NORMAL"
    channel: str | None = None
    currency: str | None = None
    language: str | None = None
    identity_provider: str | None = None
    on_user_change: OnUserChange = "rotate"
    sensitive_traits: Literal["refuse", "allow"] = "refuse"
    hash_traits: Collection[str] = ()
    redact_url: RedactUrl | None = None
    page_name: PageName | Literal["route", "path"] = "route"
    infer: bool = True
    auto_page_views: bool = False
    on_invalid: Literal["raise", "drop"] = "raise"
    send_in_tests: bool = False
    consent: Consent | None = None
    gpc: GpcPolicy = "respect"
    bots: BotPolicy = "drop"
    ip: IpPolicy = "truncate"
    skipped_paths: Sequence[str] = SKIPPED_PATHS
    trusted_proxies: Sequence[str] | int = ()
    trusted_proxy_headers: Sequence[str] = TRUSTED_HEADERS
    cookie_name: str = "passerby_bid"
    cookie_domain: str | None = None
    cookie_path: str = "/"
    cookie_max_age: int = MAX_AGE
    cookie_same_site: SameSite = "lax"
    cookie_secure: Secure = "auto"
    cookie_partitioned: bool = False
    server_cookie: bool = True
    identity_max_age: float = IDENTITY_MAX_AGE
    cache_control: CacheControl = "private"
    renew_after: float = RENEW_AFTER
    on_tamper: OnTamper = "reissue"
    on_missing_signature: OnMissingSignature | None = None
    spare_browser_ids: int = 2
    mint_timeout: float = 0.25
    barrier_timeout: float | None = 0.05
    close_timeout: float = 2.0
    request_timeout: float = 10.0
    retry_base: float = 1.0
    retry_cap: float = 300.0
    retry_age: float = 72 * 3600.0
    concurrency: int = 10
    max_events: int | None = None
    max_bytes: int = 1_000_000_000
    when_full: WhenFull = "drop_newest"

    def __post_init__(self) -> None:
        _check_values(self)
        if self.when_full == "raise" and self.on_invalid == "drop":
            raise SettingsError(
                'found "raise" while on_invalid is "drop", so that no call would raise; choose "drop_newest"',
                setting="when_full",
            )
        _ = self.outbox_directory
        if self.consent is not None:
            expected = "a plain function that takes the request's facts and gives True, False or None"
            check_function(self.consent, "consent", expected)
        if self.redact_url is not None:
            expected = "a plain function that takes a URL and gives the URL to keep, or None"
            check_function(self.redact_url, "redact_url", expected)
        if not (isinstance(self.page_name, str) and self.page_name in ("route", "path")):
            expected = '"route", "path", or a plain function that takes the request\'s facts and gives a name'
            check_function(self.page_name, "page_name", expected)
        for name in ("trusted_proxies", "trusted_proxy_headers", "skipped_paths", "hash_traits"):
            is_number = name == "trusted_proxies" and isinstance(self.trusted_proxies, int)
            if not (is_number or _are_texts(getattr(self, name))):
                raise SettingsError("expected a list of texts without control characters", setting=name)
        TrustedProxies(self.trusted_proxies, self.trusted_proxy_headers)  # which checks them
        if self.on_missing_signature == "reissue" and not self.server_cookie:
            raise SettingsError(
                'found "reissue" while server_cookie is False, so that nothing is signed and every visitor would be '
                "unknown; leave it out",
                setting="on_missing_signature",
            )
        if self.identity_max_age < 1:
            raise SettingsError(
                f"found {self.identity_max_age!r}, expected a number of at least 1 second", setting="identity_max_age"
            )
        check_cookie_name(self.cookie_name)
        _ = self.secret_keys, self.cookie_attributes.for_name(self.cookie_name)

    @property
    def outbox_directory(self) -> str | None:
        """Where the files of the outbox are; None if events wait in memory."""
        if self.outbox == "memory":
            return None
        if isinstance(self.outbox, str) and self.outbox.startswith("sqlite:///"):
            directory = "/" + self.outbox.removeprefix("sqlite:///").strip("/")
            if has_control_characters(directory) or len(directory) > _MAX_PATH:
                raise SettingsError(
                    f"expected a directory of at most {_MAX_PATH:,} characters, no control characters", setting="outbox"
                )
            if directory != "/":
                return directory
        raise SettingsError(
            'found something else, expected "memory" or "sqlite:///" and a directory from the root on, such as '
            '"sqlite:///var/lib/shop/outbox"',
            setting="outbox",
        )

    @property
    def secret_keys(self) -> tuple[str | bytes, ...]:
        """The secret keys, the newest first; none if nothing is to be signed."""
        if self.secret_key is None or isinstance(self.secret_key, UnfitKey):
            return ()
        key = self.secret_key
        keys: Sequence[str | bytes] = (key,) if isinstance(key, str | bytes) else key
        if not isinstance(keys, Sequence) or not keys or not all(map(_is_key, keys)):
            raise SettingsError(
                "expected text or bytes of at least 8 characters, or a list of such, the newest first",
                setting="secret_key",
            )
        return tuple(keys)

    @property
    def cookie_attributes(self) -> CookieAttributes:
        """How cookies are set."""
        return CookieAttributes(
            domain=self.cookie_domain or None,
            path=self.cookie_path,
            max_age=self.cookie_max_age,
            same_site=self.cookie_same_site,
            secure=self.cookie_secure,
            partitioned=self.cookie_partitioned,
        )

    @property
    def remembers_users(self) -> bool:
        """Whether the user ID is remembered over requests."""
        return bool(self.secret_keys)


class SettingsValues(TypedDict, total=False):
    """The same names and types, for completion where they are given by keyword."""

    secret_key: SecretKeys | None
    outbox: str
    synchronous: Synchronous
    channel: str | None
    currency: str | None
    language: str | None
    identity_provider: str | None
    on_user_change: OnUserChange
    sensitive_traits: Literal["refuse", "allow"]
    hash_traits: Collection[str]
    redact_url: RedactUrl | None
    page_name: PageName | Literal["route", "path"]
    infer: bool
    auto_page_views: bool
    on_invalid: Literal["raise", "drop"]
    send_in_tests: bool
    consent: Consent | None
    gpc: GpcPolicy
    bots: BotPolicy
    ip: IpPolicy
    skipped_paths: Sequence[str]
    trusted_proxies: Sequence[str] | int
    trusted_proxy_headers: Sequence[str]
    cookie_name: str
    cookie_domain: str | None
    cookie_path: str
    cookie_max_age: int
    cookie_same_site: SameSite
    cookie_secure: Secure
    cookie_partitioned: bool
    server_cookie: bool
    identity_max_age: float
    cache_control: CacheControl
    renew_after: float
    on_tamper: OnTamper
    on_missing_signature: OnMissingSignature | None
    spare_browser_ids: int
    mint_timeout: float
    barrier_timeout: float | None
    close_timeout: float
    request_timeout: float
    retry_base: float
    retry_cap: float
    retry_age: float
    concurrency: int
    max_events: int | None
    max_bytes: int
    when_full: WhenFull


def _check_values(settings: Settings) -> None:
    for name, choices in _CHOICES.items():
        if not isinstance(getattr(settings, name), str | None) or getattr(settings, name) not in choices:
            expected = ", ".join(map(repr, choices))
            raise SettingsError(f"found {shown(getattr(settings, name))}, expected one of {expected}", setting=name)
    for name in _TEXTS:
        if not isinstance(getattr(settings, name), str | None):
            found = type(getattr(settings, name)).__name__
            raise SettingsError(f"found {found}, expected text", setting=name)
        if not _is_short_text(getattr(settings, name) or ""):
            raise SettingsError("expected at most 255 characters, no control characters", setting=name)
    for name in _SWITCHES:
        if not isinstance(getattr(settings, name), bool):
            raise SettingsError(f"found {shown(getattr(settings, name))}, expected True or False", setting=name)
    _check_numbers(settings)


def _check_numbers(settings: Settings) -> None:
    for name in _SECONDS:
        value = getattr(settings, name)
        has_limit = value is not None or name not in WITHOUT_LIMIT
        if has_limit and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9):
            expected = "a number of seconds" + (", or None for no limit" if name in WITHOUT_LIMIT else "")
            raise SettingsError(f"found {shown(value)}, expected {expected}", setting=name)
    if not settings.request_timeout:
        raise SettingsError("found 0, in which no service answers, expected seconds", setting="request_timeout")
    for name, (least, most) in _WHOLE.items():
        value = getattr(settings, name)
        if name == "max_events" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            expected = f"a whole number from {least:,} to {most:,}"
            raise SettingsError(f"found {shown(value)}, expected {expected}", setting=name)


def shown(value: object) -> str:
    """Write a wrong value of a setting that is no secret; what may have no text by its type."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"
    is_written = type(value) in (str, int, float, bool, type(None))
    return repr(value)[:100] if is_written else type(value).__name__


def _is_short_text(text: str) -> bool:
    return len(text) <= 255 and not has_control_characters(text)


def keys_of_framework(name: str, key: object, fallbacks: Iterable[object]) -> SecretKeys:
    """Return the framework's own keys, as far as they can sign.

    An app that works with a short key goes on working: nothing is signed, as without a key, and that is logged.

    Args:
        name: what the app calls the key.
        key: the key that signs now.
        fallbacks: keys of before; what is unfit among them has signed nothing of ours.
    """
    return cast("list[str | bytes]", [key, *filter(_is_key, fallbacks)]) if _is_key(key) else UnfitKey(name)


def _is_key(key: object) -> bool:
    if isinstance(key, str):
        return len(key) >= 8 and _is_well_formed(key)
    return isinstance(key, bytes) and len(key) >= 8


def _is_well_formed(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _are_texts(values: object) -> bool:
    """Whether it is a collection of texts, and not one text."""
    if isinstance(values, str) or not isinstance(values, Collection):
        return False
    return all(isinstance(one, str) and not has_control_characters(one) for one in cast("Collection[object]", values))


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Make the settings from names and values; raises SettingsError for a name that is no setting."""
    known = [one.name for one in fields(Settings)]
    for name in values:
        if name not in known:
            raise SettingsError(f"found no setting of that name; there are {', '.join(known)}", setting=str(name))
    try:
        return Settings(**values)
    except SettingsError:
        raise
    except Exception as error:  # an object that cannot be compared, say
        raise SettingsError(f"a value raised {type(error).__name__} when it was checked") from error
