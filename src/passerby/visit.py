"""One visitor during one request: who they are, and which cookies the answer must carry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from logging import Logger
from typing import Any, Final

from .cookie import BrowserIdCookie, IdentityCookie, Remembered, Sighting
from .http_cookie import SetCookie
from .logs import get_logger
from .page import is_page, may_be_page
from .policy import BROKEN, PAGE, Decision, Policy, may_be_shared
from .proxies import TrustedProxies
from .request import RequestInfo, header_of

log: Logger = get_logger("passerby")

_Identity = tuple[str | None, Remembered | None, Remembered | str]  # user ID, what is remembered, what the cookie gets

_UNCHANGED: Final = "unchanged"
_FORGOTTEN: Final = "forgotten"


class Visit:
    """The state of one visitor during one request; a plain value that only its own request changes.

    Attributes:
        request: what the request said, or None outside of any.
        sighting: what the browser-ID cookie said.
        remembered: what the identity cookie said.
        assigned: whether the browser ID was given out in this request and is not yet in a cookie.
        is_under_way: whether the app is handling the request at this moment.
        is_awaited: whether the response will wait until what is told is recorded.
        unrecorded: how many events it will wait for.
        body: the response's body, where the visit lasts as long as that.
        used: whether anything depends on the assigned ID: an event, a cookie, or the app, which has read it.
        is_ignored: whether what was asked for is no page of the site, as the settings say of Django's admin.
    """

    __slots__ = (
        "_browser_id",
        "_decision",
        "_has_left",
        "_identities",
        "_identity_change",
        "_policy",
        "_user_id",
        "assigned",
        "body",
        "is_awaited",
        "is_ignored",
        "is_under_way",
        "remembered",
        "request",
        "sighting",
        "unrecorded",
        "used",
    )

    def __init__(
        self,
        request: RequestInfo | None,
        decision: Decision | None,
        sighting: Sighting,
        remembered: Remembered | None,
        policy: Policy | None = None,
        user_id: str | None = None,
    ) -> None:
        self.request: RequestInfo | None = request
        self.sighting: Sighting = sighting
        self.remembered: Remembered | None = remembered
        self.assigned: bool = False
        self.used: bool = False
        self.is_under_way: bool = False
        self.is_awaited: bool = False
        self.is_ignored: bool = False
        self.unrecorded: int = 0
        self.body: object = None
        self._browser_id = sighting.browser_id
        self._user_id = remembered.user_id if remembered is not None else user_id
        self._identity_change: Remembered | str = _UNCHANGED
        self._decision = decision
        self._policy = policy
        self._has_left = False
        # What was told of it in this request, after what was known before; None for what was taken back.
        self._identities: list[_Identity | None] = []

    @property
    def decision(self) -> Decision:
        """What may be done. A returning visitor's request is judged only when something depends on it."""
        if self._decision is None:
            self._decide()
        return self._decision or PAGE

    @property
    def browser_id(self) -> str | None:
        """The browser's ID, or None where there is none or it may not be used."""
        if self._decision is None:
            self._decide()
        return self._browser_id

    @property
    def user_id(self) -> str | None:
        """Who the visitor is, if that is known and may be used."""
        if self._decision is None:
            self._decide()
        return self._user_id

    @property
    def is_withdrawn(self) -> bool:
        """Whether consent was withdrawn, so that cookies that are there must go."""
        return self._decision is not None and self._decision.forget

    @property
    def needs_id(self) -> bool:
        """Whether the visitor should get an ID at once and has none."""
        return self._browser_id is None and self.decision.assign == "at once"

    def assign(self, browser_id: str) -> None:
        """Give the visitor an ID that is new to this browser."""
        self._browser_id = browser_id
        self.assigned = True

    def withdraw(self) -> None:
        """Take the given ID back: from now on it may be another's."""
        self._browser_id = None
        self.assigned = False

    def identify(self, user_id: str, remembered: Remembered | None) -> None:
        """From now on the visitor is this user; remembered, if cookies can be signed, over requests too."""
        if remembered is None:
            self._go_by((user_id, self.remembered, self._identity_change))
        else:
            self._go_by((user_id, remembered, remembered))

    def identity_undo(self) -> Callable[[], None]:
        """Return what takes back the identity that is told next; what is told after it stays, or comes to stay."""
        place = max(1, len(self._identities))

        def take_back() -> None:
            if place < len(self._identities):
                self._identities[place] = None
                told = [identity for identity in self._identities if identity is not None]
                self._user_id, self.remembered, self._identity_change = told[-1]

        return take_back

    def forget(self) -> None:
        """The visitor has logged out: forget the user ID, keep the browser ID."""
        self._go_by((None, None, _FORGOTTEN))

    def _go_by(self, identity: _Identity) -> None:
        if not self._identities:
            self._identities = [(self._user_id, self.remembered, self._identity_change)]
        self._identities.append(identity)
        self._user_id, self.remembered, self._identity_change = identity

    def leave(self) -> None:
        """Someone else is going to use this browser: forget the user ID and the browser ID."""
        self.forget()
        self._has_left = True
        self._browser_id = None
        self.assigned = False

    def _decide(self) -> None:
        try:
            self._decision = PAGE if self._policy is None or self.request is None else self._policy.decide(self.request)
        except Exception:  # our own mistake must not break the page
            log.exception("a request could not be judged; nothing is tracked in it")
            self._decision = BROKEN
        if self._decision.refusal is not None:
            self._browser_id = self._user_id = self.remembered = None
            self.sighting = self.sighting._replace(browser_id=None, refresh=False)

    @property
    def cookie_header(self) -> str:
        """The request's raw Cookie header."""
        return self.request.cookie_header if self.request is not None else ""

    @property
    def has_left(self) -> bool:
        """Whether the ID that the browser still has is no longer its own, and there is no new one yet."""
        return self._has_left and self._browser_id is None and self.sighting.present

    @property
    def identity_change(self) -> Remembered | None:
        """What the identity cookie must say from now on, if that changed and is not nothing."""
        return self._identity_change if isinstance(self._identity_change, Remembered) else None

    @property
    def has_identity_news(self) -> bool:
        """Whether the identity cookie has to say something else, or go."""
        return self._identity_change is not _UNCHANGED

    @property
    def is_forgotten(self) -> bool:
        """Whether the identity cookie must go."""
        return self._identity_change is _FORGOTTEN


_NOTHING_SEEN = Sighting(None)


class Reception:
    """Opens visits from requests and says which cookies their answers carry.

    Args:
        browser_id_cookie: the cookie with the browser ID.
        identity_cookie: the cookie with the user ID, or None where nothing can be signed.
        policy: what may be done.
        proxies: whose forwarded headers are believed.
    """

    def __init__(
        self,
        browser_id_cookie: BrowserIdCookie,
        identity_cookie: IdentityCookie | None,
        policy: Policy,
        proxies: TrustedProxies,
    ) -> None:
        self._browser_id_cookie = browser_id_cookie
        self._identity_cookie = identity_cookie
        self._policy = policy
        self._proxies = proxies

    def open(self, request: RequestInfo, now: float) -> Visit:
        """Open the visit of a request; `now` is in seconds since 1970."""
        # Consent that was withdrawn deletes cookies, so it is asked for every request.
        decision = self._policy.decide(request) if self._policy.asks_consent else None
        header = request.cookie_header
        if not header:
            return Visit(request, decision, _NOTHING_SEEN, None, self._policy)
        if decision is not None and decision.refusal is not None:
            present = self._browser_id_cookie.name in header
            return Visit(request, decision, Sighting(None, present=present), None)
        sighting = self._browser_id_cookie.read(header, now)
        remembered = None
        if self._identity_cookie is not None and sighting.browser_id and self._identity_cookie.name in header:
            remembered = self._identity_cookie.read(header, sighting.browser_id)
        return Visit(request, decision, sighting, remembered, self._policy)

    def cookies(
        self, visit: Visit, headers: Iterable[tuple[Any, Any]], now: float, renew: bool = False
    ) -> list[SetCookie]:
        """Return the cookies to add to a response with these headers.

        None on a response that a shared cache may keep, and none of a name that the app sets itself.

        Args:
            visit: the visit the response answers.
            headers: the response's headers, as pairs of text or bytes.
            now: seconds since 1970.
            renew: set the browser-ID cookie again even if it is fresh.
        """
        request = visit.request
        if request is None:
            return []
        headers = list(headers)
        secure = self._browser_id_cookie.attributes.secure_for(self._proxies.scheme(request), request.host)
        wanted = self._wanted(visit, now, secure, renew)
        if not wanted or may_be_shared(headers):
            return []
        taken = {value.partition("=")[0].strip() for value in header_of(headers, "set-cookie")}
        if self._browser_id_cookie.name in taken:  # the app's own value must not be signed by us
            taken.add(self._browser_id_cookie.signature_name)
        cookies = [cookie for cookie in wanted if cookie.name not in taken]
        if visit.assigned and any(cookie.name == self._browser_id_cookie.name for cookie in cookies):
            visit.used = True
        return cookies

    def is_page_view(self, visit: Visit, status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
        """Whether a response is a page that its visitor sees, and that may be told.

        Not for a new visitor if a shared cache may keep it: without a cookie they would be a new one at every page.
        """
        request, decision = visit.request, visit.decision
        if request is None or visit.is_ignored or decision.refusal is not None or decision.bot:
            return False
        headers = list(headers)
        if not (is_page(request, status, headers) and self._policy.is_document(request)):
            return False
        return visit.sighting.browser_id is not None or (self._policy.assigns_ids and not may_be_shared(headers))

    def needs_no_id(self, visit: Visit, status: int, headers: Iterable[tuple[Any, Any]]) -> bool:
        """Whether the ID that a new visitor was given is of no use, so that it should go back.

        Nothing depends on it yet, and what was asked for by a request that says nothing of itself is no page: most
        such are calls of an API, which bring no cookie next time either.
        """
        if visit.used or not visit.assigned or visit.has_identity_news or visit.request is None:
            return False
        return visit.is_ignored or (self._policy.is_silent(visit.request) and not may_be_page(status, headers))

    def has_cookies(self, visit: Visit) -> bool:
        """Whether the answer to this visit carries any cookie; the common case is that it does not."""
        return visit.assigned or visit.sighting.refresh or visit.has_identity_news or visit.is_withdrawn

    def _wanted(self, visit: Visit, now: float, secure: bool, renew: bool) -> list[SetCookie]:
        if visit.is_withdrawn:
            return self._withdrawal(visit, secure)
        if visit.has_left:
            return self._withdrawal(visit, secure)
        if not visit.decision.sets_cookies:  # to forget somebody takes no permission
            return self._farewell(visit, secure)
        wanted: list[SetCookie] = []
        if visit.browser_id is not None and (visit.assigned or renew or self._refreshes(visit)):
            wanted += self._browser_id_cookie.write(visit.browser_id, secure=secure)
        if self._identity_cookie is not None and visit.identity_change is not None and visit.browser_id is not None:
            wanted.append(self._identity_cookie.write(visit.browser_id, visit.identity_change, secure=secure))
        return wanted + self._farewell(visit, secure)

    def _farewell(self, visit: Visit, secure: bool) -> list[SetCookie]:
        if not visit.is_forgotten or self._identity_cookie is None:
            return []
        has_cookie = self._identity_cookie.name in visit.cookie_header
        return [self._identity_cookie.expire(secure=secure)] if has_cookie else []

    def _refreshes(self, visit: Visit) -> bool:
        # Renewal waits for a page: an asset's response may be cached by what stands in front of us.
        return visit.sighting.refresh and visit.decision.assign == "at once"

    def _withdrawal(self, visit: Visit, secure: bool) -> list[SetCookie]:
        if not visit.sighting.present:
            return []
        wanted = self._browser_id_cookie.expire(secure=secure)
        if self._identity_cookie is not None:
            wanted.append(self._identity_cookie.expire(secure=secure))
        return wanted


def visit_of(browser_id: str, user_id: str | None = None) -> Visit:
    """Make a visit outside of any request."""
    return Visit(None, PAGE, Sighting(browser_id), None, user_id=user_id)
