"""May we? Consent, Sec-GPC, bots, prefetches, subresources and other sites, decided once per request.

The decision says three things: whether events are taken, when a visitor without an ID gets one, and whether cookies may
be set. Only what a request says of itself counts: one that says nothing is taken for a page.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from logging import Logger
from typing import Any, Literal, NamedTuple

from ..logs import get_logger
from ..values.app_values import bare
from ..values.callbacks import is_given_up
from .cookie_context import CookieContext, Obstacle
from .request import RequestInfo, header_of
from .set_cookie import CookieFinder

log: Logger = get_logger("passerby.policy")

Consent = Callable[[RequestInfo], "bool | str | None"]
GpcPolicy = Literal["respect", "ignore"]
BotPolicy = Literal["drop", "tag", "keep"]
Assign = Literal["at once", "when tracked", "never"]

SKIPPED_PATHS = (
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

_MAX_USER_AGENT = 512  # characters that are looked at
# What libraries say that load pages, or parts of them, by a script.
_SCRIPT_HEADERS = frozenset(
    {"x-requested-with", "hx-request", "turbo-frame", "x-up-version", "x-pjax", "x-inertia"}
    | {"x-alpine-request", "datastar-request"}
)
_PREFETCH_HEADERS = frozenset({"sec-purpose", "x-sec-purpose", "purpose", "x-purpose", "x-moz", "hx-preloaded"})
_TELLING_HEADERS = _SCRIPT_HEADERS | _PREFETCH_HEADERS | {"sec-gpc"}  # most requests have none
_TURBO_ACCEPTS = "text/html, application/xhtml+xml"  # what Turbo and Turbolinks say; a browser leaves out the blank
_PAGE_DESTINATIONS = frozenset({"document", "iframe", "frame"})  # Sec-Fetch-Dest of a navigation

# Agents that visit many sites or watch one, and name themselves. General HTTP clients (curl, httpx) are not among them:
# their requests say nothing of a visitor, and a developer who looks with curl should see what a browser gets. A name
# counts as a word of its own where it could stand within another: a Cubot is a telephone, an Abbot is none of these.
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
    """What may be done in a request.

    Attributes:
        refusal: why events are not taken ("consent", "gpc", "bot", "cookie-header"), or None where they are.
        assign: when a visitor without an ID gets one.
        forget: whether cookies that are there are to be deleted, because consent was withdrawn.
        bot: whether the visitor is a known bot.
        withheld: why a page gives no ID to a visitor who has none, if that is because of the cookie.
    """

    refusal: str | None = None
    assign: Assign = "at once"
    forget: bool = False
    bot: bool = False
    withheld: Obstacle | None = None

    @property
    def sets_cookies(self) -> bool:
        """Whether a cookie may be set in answer to this request."""
        return self.refusal is None and self.assign != "never"


PAGE = Decision()
BROKEN = Decision("internal", "never")  # something of ours failed
OUTSIDE = Decision("no-request", "never")  # there is no request, so there is no visitor
INVALID = Decision("invalid", "never")  # the app named a visitor that there is not
_ON_TRACKING = Decision(assign="when tracked")
_NEVER = Decision(assign="never")
_GPC = Decision("gpc", "never")
_BOT_DROPPED = Decision("bot", "never", bot=True)
_BOT_TAGGED = Decision(assign="never", bot=True)
_DENIED = Decision("consent", "never", forget=True)
_OPTED_OUT = Decision("opt-out", "never")
UNREAD = Decision("cookie-header", "never")  # who the visitor is stands in cookies that are not read
_UNKNOWN = Decision("consent", "never")


class Policy:
    """Decides what may be done in a request.

    Args:
        consent: called with the request's facts; True or "granted" allows, False or "denied" refuses and deletes the
            cookies, None or "unknown" refuses and leaves them. An exception in it counts as unknown. None: no consent
            is asked.
        gpc: whether `Sec-GPC: 1` counts as a refusal.
        bots: what to do with the events of known bots.
        skipped_paths: paths that are no pages, nor is anything below them; nobody gets an ID there unless something is
            tracked. They are matched below the prefix under which the app is mounted.
        opt_out: the name of a cookie that is "true" where the visitor does not want to be tracked.
        assigns_ids: whether a page gives its visitor an ID; where the browser SDK does, none waits for one.
        context: says whether the browser would keep the cookie; None does not ask.
    """

    def __init__(
        self,
        consent: Consent | None = None,
        gpc: GpcPolicy = "respect",
        bots: BotPolicy = "drop",
        skipped_paths: Iterable[str] = SKIPPED_PATHS,
        assigns_ids: bool = True,
        opt_out: str | None = None,
        context: CookieContext | None = None,
    ) -> None:
        self._context = context
        self._opt_out = None if opt_out is None else CookieFinder(opt_out)
        self.assigns_ids = assigns_ids
        self._consent = consent
        self._respects_gpc = gpc == "respect"
        self._bots = bots
        self._skipped_paths = frozenset(skipped_paths)
        self._skipped_folders = tuple(path.rstrip("/") + "/" for path in self._skipped_paths)

    @property
    def asks_consent(self) -> bool:
        """Whether there is a callable to ask."""
        return self._consent is not None

    def decide(self, request: RequestInfo) -> Decision:
        """Decide for one request."""
        header = request.header
        if self._consent is not None:
            refused = self._ask_for_consent(self._consent, request)
            if refused is not None:
                return refused
        if self._opt_out is not None and "true" in self._opt_out.find(request.cookie_header):
            return _OPTED_OUT
        tells_more = request.has_any(_TELLING_HEADERS)
        if tells_more and self._respects_gpc and header("sec-gpc") == "1":
            return _GPC
        if self._bots != "keep":
            agent = header("user-agent")
            if agent and is_known_bot(agent[:_MAX_USER_AGENT]):
                return _BOT_DROPPED if self._bots == "drop" else _BOT_TAGGED
        if tells_more and is_prefetch(request):
            return _NEVER
        if tells_more and is_fragment(request):
            return _ON_TRACKING
        return PAGE if self.assigns_ids and self._is_page(request) else _ON_TRACKING

    def decide_without_id(self, request: RequestInfo, decision: Decision) -> Decision:
        """Return what becomes of a decision where the request brought no browser ID.

        None is given out where the browser would not keep the cookie, or where it may have one that it did not send.
        """
        if self._context is None or decision.assign == "never":
            return decision
        obstacle = self._context.obstacle(request)
        if obstacle is None:
            return decision
        return Decision(assign="never", withheld=obstacle if decision.assign == "at once" else None)

    def is_document(self, request: RequestInfo) -> bool:
        """Whether somebody goes to a page and will see it: no frame, no part of a page, no prefetch.

        A page that a script loads in place of the one before, as HTMX, Turbo and Inertia do, is one too.
        """
        if request.method != "GET" or self._is_skipped(request):
            return False
        header = request.header
        if request.has_any(_TELLING_HEADERS):
            if is_prefetch(request) or is_fragment(request):
                return False
            if header("hx-request") or header("x-inertia"):
                return True
        destination = header("sec-fetch-dest")  # browsers send it to https and localhost only
        if not destination:
            return "text/html" in (header("accept") or "")
        return destination == "document" or (
            destination == "empty" and (header("accept") or "").endswith(_TURBO_ACCEPTS)
        )

    def is_silent(self, request: RequestInfo) -> bool:
        """Whether a request says neither what it is for nor what it takes, as those of programs do."""
        return not request.header("sec-fetch-dest") and request.header("accept") in (None, "", "*/*")

    def _ask_for_consent(self, consent: Consent, request: RequestInfo) -> Decision | None:
        try:
            answer = bare(consent(request))
            if is_given_up(answer):
                log.error("the consent callable gave something to be awaited, expected True, False or None")
        except Exception:
            log.exception("the consent callable raised; nothing is tracked in this request")
            return _UNKNOWN
        if answer is True or answer == "granted":
            return None
        return _DENIED if answer is False or answer == "denied" else _UNKNOWN

    def _is_skipped(self, request: RequestInfo) -> bool:
        return request.app_path in self._skipped_paths or request.app_path.startswith(self._skipped_folders)

    def _is_page(self, request: RequestInfo) -> bool:
        if request.method in ("HEAD", "OPTIONS", "TRACE") or request.is_websocket or self._is_skipped(request):
            return False
        destination = request.header("sec-fetch-dest")
        if destination:
            return destination in _PAGE_DESTINATIONS
        accept = request.header("accept")
        return not accept or accept == "*/*" or "text/html" in accept


def is_prefetch(request: RequestInfo) -> bool:
    """Whether a browser fetches a page that nobody has opened yet.

    `Sec-Purpose` decides; the older headers count only if the request does not call itself a navigation, since phones
    send them with real visits.
    """
    header = request.header
    purpose = header("sec-purpose") or header("x-sec-purpose")  # a script may not write the first: Turbo the second
    if purpose:
        return "prefetch" in purpose
    if header("hx-preloaded") == "true":
        return True
    if header("sec-fetch-mode") == "navigate":
        return False
    return "prefetch" in (header("purpose") or header("x-purpose") or header("x-moz") or "").lower()


def is_fragment(request: RequestInfo) -> bool:
    """Whether a script asks for a part of a page, or for data.

    HTMX and Inertia load whole pages too, and say so. An app's web view on Android names the app in X-Requested-With,
    and is a browser like others.
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
    """Whether a user agent names itself as a crawler, preview fetcher or monitor."""
    return _known_bot(user_agent[:_MAX_USER_AGENT].lower()) is not None


def is_html(headers: Iterable[tuple[Any, Any]]) -> bool:
    """Whether a response with these headers is a page for people."""
    kinds = header_of(headers, "content-type")
    return bool(kinds) and kinds[-1].partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
