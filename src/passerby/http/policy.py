"""Decides once per request what is allowed: consent, Sec-GPC, bots, prefetches, subresources and other sites.

A decision contains whether events are accepted, when a visitor without an ID gets one, and whether cookies may be set.
It depends only on the headers of the request. A request without such headers counts as a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from logging import Logger
from typing import Any, Literal, NamedTuple

from ..logs import get_logger
from ..values.app_values import unwrap
from ..values.browser_id import PLAIN_UUID, BrowserIdFormat
from ..values.callbacks import discard_awaitable
from .cookie_context import CookieContext, Obstacle
from .request import RequestInfo, header_of
from .set_cookie import CookieFinder

log: Logger = get_logger("passerby.policy")

Consent = Callable[[RequestInfo], "bool | str | None"]
GpcPolicy = Literal["respect", "ignore"]
BotPolicy = Literal["drop", "tag", "keep"]
Assign = Literal["at once", "when tracked", "never"]

IGNORED_PATHS = (
    "/static/",
    "/assets/",
    "/favicon.ico",
    "/robots.txt",
    "/health",
    "/healthz",
    "/livez",
    "/readyz",
    "/ping",
)

_MAX_USER_AGENT = 512  # characters that are matched
# Headers of libraries that load pages, or parts of them, by a script.
_SCRIPT_HEADERS = frozenset(
    {"x-requested-with", "hx-request", "turbo-frame", "x-up-version", "x-pjax", "x-inertia"}
    | {"x-alpine-request", "datastar-request"}
)
_PREFETCH_HEADERS = frozenset({"sec-purpose", "x-sec-purpose", "purpose", "x-purpose", "x-moz", "hx-preloaded"})
_HINT_HEADERS = _SCRIPT_HEADERS | _PREFETCH_HEADERS | {"sec-gpc"}  # most requests have none
_TURBO_ACCEPTS = "text/html, application/xhtml+xml"  # as sent by Turbo; browsers send it without the blank
_PAGE_DESTINATIONS = frozenset({"document", "iframe", "frame"})  # Sec-Fetch-Dest of a navigation

# User agents of crawlers and monitors that name themselves. General HTTP clients (curl, httpx) are not included: a
# developer who tests with curl should see what a browser gets. A name that can occur inside another one must be a word
# of its own: a Cubot is a telephone, and Abbot is a family name.
_known_bot = re.compile(
    # crawlers
    r"(?<!cu)(?<!\bab)(?<!\btal)(?<!\btur)(?<!ro)bot(?:\b|[/;_-])|(?<!\bi)robot/|crawl|(?<![a-z])spider(?![- ]?man)|"
    r"[a-z]spider\b|slurp|mediapartners-google|feedfetcher|google-inspectiontool|google-read-aloud|google-safety|"
    r"googleother|google-pagerenderer|duckduckgo-favicons|ia_archiver|archive\.org|wayback|yandeximages|yandexmetrika|"
    r"yeti/|mail\.ru|nutch|heritrix|scrapy|screaming frog|w3c_validator|validator\.nu|"
    # fetchers of artificial intelligence
    r"chatgpt-user|oai-search|perplexity-user|claude-user|claude-search|claude-web|anthropic-ai|cohere-(?:ai|training)|mistralai-user|"
    r"google-extended|google-notebooklm|gemini-deep-research|meta-external|duckassist|bytespider|diffbot|firecrawl|"
    r"manus-user|novaact|kagi-fetcher|webzio|omgili|"
    # previews of links
    r"facebookexternalhit|facebookcatalog|bingpreview|microsoftpreview|whatsapp/|skypeuripreview|slack-imgproxy|"
    r"vkshare|pinterest/0|embedly|iframely|quora link preview|outbrain|flipboardproxy|snap url preview|"
    r"bluesky cardyb|(?:mastodon|pleroma|misskey)/\d|kakaotalk-scrap|xing-contenttabreceiver|url[- ]preview|"
    # probes and monitors
    r"(?<![a-z])(?:elb-?)?health[ _-]?(?:check|probe)(?:er|s|ing)?(?![a-z0-9])|kube-probe|googlehc|consul[ /-]health|"
    r"cloudflare-(?:healthchecks|traffic-?manager)|azure traffic manager|load balancer agent|readyforrequest|"
    r"route ?53|envoy/hc|(?<![a-z])(?:prometheus/|monit/|(?:haproxy|zabbix|nagios|icinga|checkmk)\b)|"
    r"blackbox[ _-]exporter|check_(?:http|curl|tcp)|(?<![a-z])uptime|[a-z]uptime|better ?stack|pingdom|statuscake|"
    r"site24x7|newrelicpinger|datadog[ /](?:synthetics|agent)|dynatrace|catchpoint|thousandeyes|hetrixtools|"
    r"updown\.io|checkly/|freshping|appinsights|chrome-lighthouse|pagespeed|gtmetrix|headlesschrome|phantomjs|"
    # scanners
    r"(?<![a-z])(?:nuclei|nikto|sqlmap|nessus|wpscan|nmap|openvas|acunetix|netsparker|arachni|w3af|dirbuster|gobuster|"
    r"feroxbuster|ffuf|wfuzz|qualys|detectify|shodan|l9explore|l9tcpid)\b|fuzz faster|projectdiscovery|netcraft|"
    r"censys|zgrab|masscan|expanse, a palo|internetmeasurement"
).search


class Decision(NamedTuple):
    """What is allowed in a request.

    Attributes:
        refusal: why events are dropped ("consent", "gpc", "bot", "cookie-header"), or None if they are accepted.
        assign: when a visitor without an ID gets one.
        expires_cookies: whether existing cookies are to be deleted, because consent was withdrawn.
        bot: whether the visitor is a known bot.
        withheld: why a page gives no ID to a new visitor, if the browser would not keep the cookie.
    """

    refusal: str | None = None
    assign: Assign = "at once"
    expires_cookies: bool = False
    bot: bool = False
    withheld: Obstacle | None = None

    @property
    def sets_cookies(self) -> bool:
        """Whether cookies may be set on the response."""
        return self.refusal is None and self.assign != "never"


PAGE = Decision()
BROKEN = Decision("internal", "never")  # an internal error
OUTSIDE = Decision("no-request", "never")  # without a request there is no visitor
INVALID = Decision("invalid", "never")  # the app passed an invalid visitor
_ON_TRACKING = Decision(assign="when tracked")
_NEVER = Decision(assign="never")
_GPC = Decision("gpc", "never")
_BOT_DROPPED = Decision("bot", "never", bot=True)
BOT = Decision(assign="never", bot=True)  # its page views are sent, marked as such
_DENIED = Decision("consent", "never", expires_cookies=True)
_OPTED_OUT = Decision("opt-out", "never")
UNREAD = Decision("cookie-header", "never")  # the cookies that identify the visitor are not read
_UNKNOWN = Decision("consent", "never")


class Policy:
    """Decides what is allowed in a request.

    Args:
        consent: called with the request's facts; True or "granted" allows, False or "denied" refuses and deletes the
            cookies, None or "unknown" refuses and keeps them. An exception in it counts as unknown. None: consent is
            not required.
        gpc: whether `Sec-GPC: 1` counts as a refusal.
        bots: what to do with the events of known bots.
        ignored_paths: paths, with everything below them, that are no pages. Visitors get no ID there unless an event is
            tracked. They are matched below the prefix under which the app is mounted.
        opt_out: the name of a cookie that is "true" if the visitor has opted out.
        bot_cookie: the name of a cookie that is not empty if the visitor is a bot.
        id_format: the format of browser IDs.
        assigns_ids: whether a page gives its visitor an ID; False where the browser SDK does.
        context: decides whether the browser would keep the cookie; None skips this check.
    """

    def __init__(
        self,
        consent: Consent | None = None,
        gpc: GpcPolicy = "respect",
        bots: BotPolicy = "drop",
        ignored_paths: Iterable[str] = IGNORED_PATHS,
        assigns_ids: bool = True,
        opt_out: str | None = None,
        context: CookieContext | None = None,
        bot_cookie: str | None = None,
        id_format: BrowserIdFormat = PLAIN_UUID,
    ) -> None:
        self._context = context
        self._bot_cookie = None if bot_cookie is None else CookieFinder(bot_cookie)
        self._id_format = id_format
        self._opt_out = None if opt_out is None else CookieFinder(opt_out)
        self.assigns_ids = assigns_ids
        self._consent = consent
        self.asks_consent: bool = consent is not None
        self._respects_gpc = gpc == "respect"
        self._bots = bots
        self._ignored_paths = frozenset(ignored_paths)
        self._ignored_folders = tuple(path.rstrip("/") + "/" for path in self._ignored_paths)

    def decide(self, request: RequestInfo) -> Decision:
        """Decide for one request."""
        header = request.header
        if self._consent is not None:
            refused = self._ask_for_consent(self._consent, request)
            if refused is not None:
                return refused
        if self._opt_out is not None and "true" in self._opt_out.find(request.cookie_header):
            return _OPTED_OUT
        tells_more = request.has_any_header(_HINT_HEADERS)
        if tells_more and self._respects_gpc and header("sec-gpc") == "1":
            return _GPC
        if self._bots != "keep":
            agent = header("user-agent")
            if (agent and is_known_bot(agent[:_MAX_USER_AGENT])) or (
                self._bot_cookie is not None and any(self._bot_cookie.find(request.cookie_header))
            ):
                return _BOT_DROPPED if self._bots == "drop" else BOT
        if tells_more and is_prefetch(request):
            return _NEVER
        if tells_more and is_fragment(request):
            return _ON_TRACKING
        return PAGE if self.assigns_ids and self._is_page(request) else _ON_TRACKING

    def bot_id(self, request: RequestInfo) -> str:
        """Return the browser ID of a bot, which is the same for all requests with its user agent."""
        return self._id_format.derive(request.header("user-agent") or "")

    def decide_without_id(self, request: RequestInfo, decision: Decision) -> Decision:
        """Adapt a decision to a request without a browser ID.

        No ID is assigned if the browser would not keep the cookie, or may have one that it did not send.
        """
        if self._context is None or decision.assign == "never":
            return decision
        obstacle = self._context.obstacle(request)
        if obstacle is None:
            return decision
        return Decision(assign="never", withheld=obstacle if decision.assign == "at once" else None)

    def is_document(self, request: RequestInfo, bot: bool = False) -> bool:
        """Return whether the request is a navigation to a page that its visitor sees: no frame, fragment or prefetch.

        A page that a script loads in place of the previous one, as HTMX, Turbo and Inertia do, counts too. Few bots
        say what they accept, so theirs counts without that.
        """
        if request.method != "GET" or self._is_ignored(request):
            return False
        header = request.header
        if request.has_any_header(_HINT_HEADERS):
            if is_prefetch(request) or is_fragment(request):
                return False
            if header("hx-request") or header("x-inertia"):
                return True
        destination = header("sec-fetch-dest")  # browsers send it to https and localhost only
        if not destination:
            return bot or "text/html" in (header("accept") or "")
        return destination == "document" or (
            destination == "empty" and (header("accept") or "").endswith(_TURBO_ACCEPTS)
        )

    def lacks_hints(self, request: RequestInfo) -> bool:
        """Return whether a request has neither Sec-Fetch-Dest nor an Accept header of its own, as those of programs."""
        return not request.header("sec-fetch-dest") and request.header("accept") in (None, "", "*/*")

    def _ask_for_consent(self, consent: Consent, request: RequestInfo) -> Decision | None:
        try:
            answer = unwrap(consent(request))
            if discard_awaitable(answer):
                log.error("the consent callable returned an awaitable, expected True, False or None")
        except Exception:
            log.exception("the consent callable raised an exception; nothing is tracked in this request")
            return _UNKNOWN
        if answer is True or answer == "granted":
            return None
        return _DENIED if answer is False or answer == "denied" else _UNKNOWN

    def _is_ignored(self, request: RequestInfo) -> bool:
        return request.app_path in self._ignored_paths or request.app_path.startswith(self._ignored_folders)

    def _is_page(self, request: RequestInfo) -> bool:
        if request.method in ("HEAD", "OPTIONS", "TRACE") or request.is_websocket or self._is_ignored(request):
            return False
        destination = request.header("sec-fetch-dest")
        if destination:
            return destination in _PAGE_DESTINATIONS
        accept = request.header("accept")
        return not accept or accept == "*/*" or "text/html" in accept


def is_prefetch(request: RequestInfo) -> bool:
    """Return whether a browser prefetches a page that its visitor has not opened.

    `Sec-Purpose` decides. The older headers count only if the request is not a navigation, since phones send them with
    real sessions.
    """
    header = request.header
    purpose = header("sec-purpose") or header("x-sec-purpose")  # scripts cannot set the first, so Turbo sets the second
    if purpose:
        return "prefetch" in purpose
    if header("hx-preloaded") == "true":
        return True
    if header("sec-fetch-mode") == "navigate":
        return False
    return "prefetch" in (header("purpose") or header("x-purpose") or header("x-moz") or "").lower()


def is_fragment(request: RequestInfo) -> bool:
    """Return whether a script requests a part of a page, or data.

    HTMX and Inertia also load whole pages, and mark them. A web view on Android has the app's name in X-Requested-With
    and counts as a browser.
    """
    header = request.header
    if header("hx-request") == "true":
        return header("hx-boosted") != "true" and header("hx-history-restore-request") != "true"
    if header("x-inertia"):
        return bool(header("x-inertia-partial-component") or header("x-inertia-partial-data"))
    if header("turbo-frame") or header("x-up-version") or header("x-pjax"):
        return True
    if header("x-alpine-request") or header("datastar-request"):
        return True
    return (header("x-requested-with") or "").lower() == "xmlhttprequest"


@lru_cache(maxsize=4096)
def is_known_bot(user_agent: str) -> bool:
    """Return whether a user agent is a known crawler, preview fetcher or monitor."""
    return _known_bot(user_agent[:_MAX_USER_AGENT].lower()) is not None


def is_html(headers: Iterable[tuple[Any, Any]]) -> bool:
    """Return whether a response with these headers is HTML."""
    kinds = header_of(headers, "content-type")
    return bool(kinds) and kinds[-1].partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
