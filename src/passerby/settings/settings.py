"""All settings: each field defines name, type, default and documentation. All are checked at once.

The environment variable of a setting is its name in capitals behind ``PASSERBY_``. ``python -m tests.settings_table``
writes `docs/settings.md` and `SettingsValues` from the fields of `Settings`; a test compares them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, get_args

from ..errors import SettingsError
from ..events.builder import NamedBy, OnInvalid, OnUserChange, PageName, SensitiveTraits
from ..events.context import IpPolicy, RedactUrl
from ..http.caching import CacheControl
from ..http.policy import IGNORED_PATHS, BotPolicy, Consent, GpcPolicy
from ..http.proxies import TRUSTED_HEADERS, TrustedProxies
from ..http.set_cookie import MAX_AGE, CookieAttributes, SameSite, Secure, check_cookie_name
from ..http.visitor_cookies import COOKIE_RENEW_AFTER, IDENTITY_MAX_AGE, OnBadSignature, OnMissingSignature
from ..outbox.contract import WhenFull
from ..values.app_values import has_control_characters
from .secret_keys import SecretKeys, checked_keys
from .setting import (
    Choice,
    PlainFunction,
    Seconds,
    SettingType,
    ShortText,
    Switch,
    TextList,
    Whole,
    quoted,
    read_boolean,
    read_list,
    read_whole,
    setting,
    types_of,
)

Synchronous = Literal["NORMAL", "FULL"]
Deliver = Literal["thread", "worker"]

_MAX_PATH = 4000  # characters; systems take 4,096 bytes with the names of the files


def _read_secure(text: str) -> Secure:
    return "auto" if text.lower() == "auto" else read_boolean(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """The settings of a `Tracking`, with their defaults. All times are in seconds."""

    secret_key: SecretKeys | None = setting(None, SettingType("text, list of texts", read_list), is_secret=True)
    """Signs the cookies; a list rotates keys, the first signs. Without one nothing is signed, users are not
    remembered over requests, and a cookie is not renewed before its time is up."""
    outbox: str = setting("memory", SettingType("text"))
    """Where events wait: `"memory"` loses them with the process; `"sqlite:///var/lib/shop/outbox"` keeps them in a
    file in that directory, which is made if need be and shared by the processes of the host."""
    deliver: Deliver = setting("thread", Choice(Deliver))
    """Who sends the events: `"thread"`, a thread of each process of the app; or `"worker"`, a process of its own,
    [`passerby worker`](deployment.md#worker), for apps that keep their processes busy."""
    sqlite_synchronous: Synchronous = setting("NORMAL", Choice(Synchronous))
    """What a stored event survives on disk: `"NORMAL"` the death of the process, `"FULL"` a power cut too."""

    channel: str | None = setting(None, ShortText())
    """Default for event data, such as `"WEB"`."""
    currency: str | None = setting(None, ShortText())
    """Default for event data, three letters (ISO 4217)."""
    language: str | None = setting(None, ShortText())
    """Default for event data, two letters (ISO 639-1)."""
    identity_provider: str | None = setting(None, ShortText())
    """The provider whose identifier is the user ID; `identify` needs it."""
    on_user_change: OnUserChange = setting("rotate", Choice(OnUserChange))
    """What happens if another user is identified in a browser that already belongs to one: `"rotate"` gives the
    browser a new ID first; `"refuse"` drops the identity; `"link"` keeps the browser ID for both users."""
    sensitive_traits: SensitiveTraits = setting("refuse", Choice(SensitiveTraits))
    """Whether a trait that looks like a password, a token, a card number or a social security number is refused
    with ValidationError, or allowed."""
    hash_traits: Collection[str] = setting((), TextList())
    """Names of traits of which only the SHA-256 hash is sent, such as `{"email"}`."""
    redact_url: RedactUrl | None = setting(None, PlainFunction("takes a URL and gives the URL to keep, or None"))
    """Called with the page's URL and with the referrer, in which secrets are [masked](pages.md) already. It returns
    what to keep of them, or None for nothing. If it raises, all but the host is masked."""
    page_name: PageName | NamedBy = setting(
        "route", PlainFunction("takes the request's facts and gives a name", NamedBy)
    )
    """The default name of a page: `"route"` uses the [pattern of its route](pages.md), such as `products/{slug}`, or
    without a route the last part of its path; `"path"` always uses the last part of its path. Or a function of the
    request's facts that returns the name, or None for `"route"`."""
    infer_from_request: bool = setting(True, Switch())
    """Whether page, language and referrer are taken from the request if a call does not give them."""
    auto_page_views: bool = setting(False, Switch())
    """Whether a page view is recorded for each [page that a visitor sees](pages.md), unless the app records one
    itself."""
    on_invalid: OnInvalid = setting("raise", Choice(OnInvalid))
    """What a call does with an event that cannot be sent: `"raise"` ValidationError, or `"drop"` it, log it without
    its values and count it."""
    send_in_tests: bool = setting(False, Switch())
    """Whether events are sent from runs of [tests](testing.md) too; otherwise they are dropped and counted there."""

    consent: Consent | None = setting(None, PlainFunction("takes the request's facts and gives True, False or None"))
    """Called with the request's facts. It returns True, False (cookies are deleted) or None (unknown)."""
    gpc: GpcPolicy = setting("respect", Choice(GpcPolicy))
    """Whether `Sec-GPC: 1` counts as a refusal."""
    bots: BotPolicy = setting("drop", Choice(BotPolicy))
    """What to do with known bots, probes and scanners: `"drop"` sets no cookie, drops their events and counts them;
    `"tag"` sends their page views, marked and under an ID made from the user agent, and drops their other events;
    `"keep"` treats them as people."""
    ip: IpPolicy = setting("truncate", Choice(IpPolicy))
    """How the visitor's IP address is stored."""
    ignored_paths: Sequence[str] = setting(IGNORED_PATHS, TextList())
    """Paths that are no pages, including everything below them; without the prefix under which the app is mounted
    (`root_path`, `SCRIPT_NAME`)."""
    trusted_proxies: Sequence[str] | int = setting((), TextList(or_number=True))
    """Addresses and networks of the proxies whose forwarded headers are read, `"unix"` or `"*"`; or how many
    proxies there are. See [behind proxies](deployment.md#behind-proxies)."""
    trusted_proxy_headers: Sequence[str] = setting(TRUSTED_HEADERS, TextList())
    """The forwarded headers that the trusted proxies write; no others are read."""

    cookie_name: str = setting("passerby_bid", SettingType("text"))
    """The name of the browser ID's cookie where no destination owns it, at most 255 characters; `__Host-` and
    `__Secure-` names are always Secure."""
    cookie_domain: str | None = setting(None, SettingType("text"))
    """The cookies' domain, which must be the site's own: addresses and public suffixes such as `co.uk` are refused.
    Without one the cookies are bound to the host."""
    cookie_path: str = setting("/", SettingType("text"))
    """The cookies' path."""
    cookie_max_age: int = setting(MAX_AGE, SettingType("seconds, whole", read_whole))
    """How long browsers keep the cookies; the default is also the most."""
    cookie_same_site: SameSite = setting("lax", SettingType(quoted(get_args(SameSite))))
    """`"none"` is for embedded sites; with `"strict"` a visitor who follows a link from another site gets no new ID
    at that page."""
    cookie_secure: Secure = setting("auto", SettingType('`"auto"`, `True`, `False`', _read_secure))
    """`"auto"` is off on plain http for loopback, private addresses and names without a dot, else on. Where it is
    on, a visitor with plain http gets no cookie."""
    cookie_partitioned: bool = setting(False, Switch())
    """For embedded sites with partitioned storage."""
    set_cookie: bool = setting(True, Switch())
    """Whether passerby sets cookies. `False` leaves that to the browser SDK; events sent before it sets them belong
    to a separate guest."""
    identity_max_age: float = setting(IDENTITY_MAX_AGE, Seconds())
    """How long the user ID of an identity is kept. Sending an identity, at most once a day, extends it."""
    cache_control: CacheControl = setting("private", Choice(CacheControl))
    """What keeps a response with a cookie out of shared caches: `"private"` adds `private` to its `Cache-Control`
    unless the app keeps caches out itself, and sets no cookie where the app lets them keep it; `"override"` makes
    such a response private too; `"keep"` changes no header, and sets cookies only where the app keeps caches
    out."""
    cookie_renew_after: float = setting(COOKIE_RENEW_AFTER, Seconds())
    """How old a signed cookie must be to be set again."""
    on_bad_signature: OnBadSignature = setting("reissue", Choice(OnBadSignature))
    """The effect of a wrong signature: `"reissue"` makes a new visitor; `"adopt"` keeps the ID and signs it, which is
    right with the vendor's browser SDK, which may set the cookie at the same time as the server."""
    on_missing_signature: OnMissingSignature | None = setting(None, Choice(OnMissingSignature, or_none=True))
    """The effect of a browser ID without a signature if there is a `secret_key`: `"reissue"` makes a new visitor,
    `"adopt"` keeps the ID and signs it. By default it is adopted if a browser SDK sets the cookie too, else
    reissued; see [the risk](cookies.md#a-browser-id-without-a-signature)."""

    browser_id_pool_size: int = setting(2, Whole(0, 100))
    """How many browser IDs are kept ready without new visitors. With more visitors more are kept. 0 fetches none in
    advance."""
    browser_id_timeout: float = setting(0.25, Seconds())
    """How long a new visitor's request may wait for a browser ID when none is ready."""
    store_timeout: float | None = setting(0.05, Seconds(or_none=True))
    """How long a response may wait until the events of its request are stored; `None` (in the environment `none`)
    waits without limit, unless the disk accepts nothing. After a timeout the response starts before its events are
    stored (`Stats.store_timeouts`); if the process is killed then, they are lost."""
    close_timeout: float = setting(2.0, Seconds())
    """How long the interpreter's exit may be delayed to deliver waiting events."""
    request_timeout: float = setting(10.0, Seconds())
    """How long one request to a destination may take, including the response body."""
    retry_base: float = setting(1.0, Seconds())
    """The first wait between two attempts is random between 0 and this value; the limit doubles for each later
    one."""
    retry_cap: float = setting(300.0, Seconds())
    """The longest wait between two attempts."""
    retry_age: float = setting(72 * 3600.0, Seconds())
    """The age at which an undelivered event becomes a dead letter."""
    concurrency: int = setting(10, Whole(1, 1000))
    """Concurrent requests to one destination."""
    max_events: int | None = setting(None, Whole(1, 10**9, or_none=True))
    """How many events may wait or be held, an event once for each of its destinations; without it 100,000 in memory
    and 1,000,000 on disk."""
    max_bytes: int = setting(1_000_000_000, Whole(1, 10**15))
    """The total size of the events that wait or are held, in bytes."""
    when_full: WhenFull = setting("drop_newest", Choice(WhenFull))
    """What happens to an event if the outbox is full: `"drop_newest"` drops it, `"drop_oldest"` drops what has
    waited longest and is not being sent, and both count it; `"raise"` makes the call raise ValidationError."""

    def __post_init__(self) -> None:
        self._check(Choice, ShortText, Switch, Seconds)
        if not self.request_timeout:
            raise SettingsError("found 0, in which no service can respond, expected seconds", setting="request_timeout")
        self._check(Whole)
        if self.when_full == "raise" and self.on_invalid == "drop":
            raise SettingsError(
                'found "raise" while on_invalid is "drop", so that no call would raise; choose "drop_newest"',
                setting="when_full",
            )
        if self.deliver == "worker" and self.outbox_directory is None:
            raise SettingsError(
                'found "worker" with an outbox in memory, which no other process sees; expected '
                'outbox="sqlite:///" and a directory',
                setting="deliver",
            )
        _ = self.outbox_directory
        self._check(PlainFunction, TextList)
        TrustedProxies(self.trusted_proxies, self.trusted_proxy_headers)  # which checks them
        if self.on_missing_signature == "reissue" and not self.set_cookie:
            raise SettingsError(
                'found "reissue" while set_cookie is False, so that nothing is signed and every visitor would be '
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
        return checked_keys(self.secret_key)

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

    def _check(self, *kinds: type[SettingType]) -> None:
        """Check the settings of these types, one type after the other."""
        for kind in kinds:
            for name, one in SETTINGS.items():
                if isinstance(one, kind):
                    one.check(name, getattr(self, name))


SETTINGS: Mapping[str, SettingType] = types_of(Settings)


class SettingsValues(TypedDict, total=False):
    """The same names and types, for those who give settings by keyword: type checkers cannot derive them."""

    # Written by `python -m tests.settings_table`.
    secret_key: SecretKeys | None
    outbox: str
    deliver: Deliver
    sqlite_synchronous: Synchronous
    channel: str | None
    currency: str | None
    language: str | None
    identity_provider: str | None
    on_user_change: OnUserChange
    sensitive_traits: SensitiveTraits
    hash_traits: Collection[str]
    redact_url: RedactUrl | None
    page_name: PageName | NamedBy
    infer_from_request: bool
    auto_page_views: bool
    on_invalid: OnInvalid
    send_in_tests: bool
    consent: Consent | None
    gpc: GpcPolicy
    bots: BotPolicy
    ip: IpPolicy
    ignored_paths: Sequence[str]
    trusted_proxies: Sequence[str] | int
    trusted_proxy_headers: Sequence[str]
    cookie_name: str
    cookie_domain: str | None
    cookie_path: str
    cookie_max_age: int
    cookie_same_site: SameSite
    cookie_secure: Secure
    cookie_partitioned: bool
    set_cookie: bool
    identity_max_age: float
    cache_control: CacheControl
    cookie_renew_after: float
    on_bad_signature: OnBadSignature
    on_missing_signature: OnMissingSignature | None
    browser_id_pool_size: int
    browser_id_timeout: float
    store_timeout: float | None
    close_timeout: float
    request_timeout: float
    retry_base: float
    retry_cap: float
    retry_age: float
    concurrency: int
    max_events: int | None
    max_bytes: int
    when_full: WhenFull


def make_settings(values: Mapping[str, Any]) -> Settings:
    """Make the settings from names and values; raises SettingsError for a name that is no setting."""
    for name in values:
        if name not in SETTINGS:
            known = ", ".join(SETTINGS)
            raise SettingsError(f"found no setting of that name; there are {known}", setting=str(name))
    try:
        return Settings(**values)
    except SettingsError:
        raise
    except Exception as error:  # an object that cannot be compared, say
        raise SettingsError(f"a value raised {type(error).__name__} when it was checked") from error
