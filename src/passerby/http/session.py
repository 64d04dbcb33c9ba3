"""The session of one visitor during one request: identity, browser ID, and what the cookies must store."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from logging import Logger
from typing import Final, Literal, NamedTuple

from ..logs import get_logger
from ..values.browser_id import IssuedId
from .cookie_context import Obstacle
from .policy import BOT, BROKEN, PAGE, Decision, Policy
from .request import RequestInfo
from .visitor_cookies import ParsedBrowserId, StoredIdentity

log: Logger = get_logger("passerby")

WithheldReason = Obstacle | Literal["shared cache"]


class _SessionState(NamedTuple):
    """The user and the browser at one moment of a request."""

    user_id: str | None
    stored_identity: StoredIdentity | None
    identity_change: StoredIdentity | str  # what the identity cookie gets
    browser_id: str | None
    has_new_id: bool
    is_rotated: bool


_NO_GUESTS: Final[Mapping[str, str]] = {}
_UNCHANGED: Final = "unchanged"
_CLEARED: Final = "forgotten"


class Session:
    """The state of one visitor during one request; a plain value that only its own request changes.

    Attributes:
        request: the facts of the request, or None outside of any.
        parsed_browser_id: the parsed browser-ID cookie.
        stored_identity: the identity in the identity cookie.
        log_outs: the number of log-outs of this browser, including those of this request.
        known_log_outs: the number of log-outs in the browser's cookie; None if it has none.
        has_new_id: whether the browser ID was assigned in this request and is not in a cookie yet.
        has_new_guest: whether the guest ID became known in this request and is not in a cookie yet.
        has_old_guest: whether the guest ID is that of an old cookie, from which it has to be moved.
        is_active: whether the app is handling the request now.
        waits_for_storage: whether the response will wait until events are stored.
        unstored_events: the number of events it will wait for.
        response_body: the response's body, if the session lasts as long as the body.
        is_id_used: whether an event, a cookie or the app, which has read it, uses the assigned ID.
        has_events: whether an event was recorded.
        renews_cookie: whether to set the browser-ID cookie again even if it is fresh.
        withheld_reason: the reason why the response gets no cookie although it should, if there is one.
        is_ignored: whether the settings exclude the requested page, such as Django's admin.
    """

    __slots__ = (
        "_browser_id",
        "_decision",
        "_guests",
        "_identity_change",
        "_is_rotated",
        "_policy",
        "_states",
        "_user_id",
        "has_events",
        "has_new_guest",
        "has_new_id",
        "has_old_guest",
        "is_active",
        "is_id_used",
        "is_ignored",
        "known_log_outs",
        "log_outs",
        "parsed_browser_id",
        "renews_cookie",
        "request",
        "response_body",
        "stored_identity",
        "unstored_events",
        "waits_for_storage",
        "withheld_reason",
    )

    def __init__(
        self,
        request: RequestInfo | None,
        decision: Decision | None,
        parsed_browser_id: ParsedBrowserId,
        remembered: StoredIdentity | None,
        policy: Policy | None = None,
        user_id: str | None = None,
        log_outs: int | None = None,
    ) -> None:
        self.request: RequestInfo | None = request
        self.known_log_outs: int | None = log_outs
        self.log_outs: int = log_outs or 0
        self.parsed_browser_id: ParsedBrowserId = parsed_browser_id
        self.stored_identity: StoredIdentity | None = remembered
        self.has_new_id: bool = False
        self.is_id_used: bool = False
        self.has_events: bool = False
        self.renews_cookie: bool = False
        self.withheld_reason: WithheldReason | None = None if decision is None else decision.withheld
        self.is_active: bool = False
        self.waits_for_storage: bool = False
        self.is_ignored: bool = False
        self.unstored_events: int = 0
        self.response_body: object = None
        self.has_new_guest: bool = False
        self.has_old_guest: bool = False
        self._browser_id = parsed_browser_id.browser_id
        # By the browser IDs to which they belong, so that no other one ever gets them.
        self._guests: Mapping[str, str] = _NO_GUESTS
        self._user_id = remembered.user_id if remembered is not None else user_id
        self._identity_change: StoredIdentity | str = _UNCHANGED
        self._decision = decision
        self._policy = policy
        self._is_rotated = False
        # The states in this request, the first of before any identity; None for what was taken back.
        self._states: list[_SessionState | None] = []
        if decision is not None:
            self._apply(decision)

    @property
    def decision(self) -> Decision:
        """What is allowed. For a returning visitor it is decided only when it is needed."""
        if self._decision is None:
            self._decide()
        return self._decision or PAGE

    @property
    def browser_id(self) -> str | None:
        """The browser ID, or None if there is none or it may not be used."""
        if self._decision is None:
            self._decide()
        return self._browser_id

    @property
    def user_id(self) -> str | None:
        """The user ID, if it is known and may be used."""
        if self._decision is None:
            self._decide()
        return self._user_id

    @property
    def guest_id(self) -> str | None:
        """The guest ID that belongs to the browser ID, if it is known."""
        return self._guests.get(self.browser_id or "")

    @property
    def issued_id(self) -> IssuedId | None:
        """The browser ID with its guest ID, or None if there is no browser ID."""
        browser_id = self.browser_id
        return None if browser_id is None else IssuedId(browser_id, self.guest_id)

    def read_guest_id(self, browser_id: str, guest_id: str, is_old: bool) -> None:
        """Note the IDs of the request's cookies, and whether the guest ID has to be moved into the current cookie."""
        self._add_guest(browser_id, guest_id)
        self.has_old_guest = is_old

    def learn_guest_id(self, browser_id: str, guest_id: str) -> None:
        """Note the guest ID of a browser ID, as the service gives it."""
        self._add_guest(browser_id, guest_id)
        self.has_new_guest = True

    def _add_guest(self, browser_id: str, guest_id: str) -> None:
        self._guests = {**self._guests, browser_id: guest_id}

    @property
    def is_consent_withdrawn(self) -> bool:
        """Whether consent was withdrawn, so that existing cookies must be deleted."""
        return self._decision is not None and self._decision.expires_cookies

    def withhold(self, reason: WithheldReason) -> None:
        """Note why the response gets no cookie although it should."""
        self.withheld_reason = reason

    def mark_used(self) -> None:
        """Note that the browser ID is used, so that it is not returned to the pool."""
        self.is_id_used = True

    def mark_tracked(self) -> None:
        """Note that an event of this visitor is recorded, which uses the browser ID."""
        self.is_id_used = self.has_events = True

    def mark_ignored(self) -> None:
        """Note that the settings exclude the requested page."""
        self.is_ignored = True

    def request_renewal(self) -> bool:
        """Set the browser-ID cookie again even if it is fresh. Returns whether this is the first call."""
        is_first, self.renews_cookie = not self.renews_cookie, True
        return is_first

    def start_handling(self) -> None:
        """Note that the app starts to handle the request."""
        self.is_active = True

    def finish_handling(self) -> None:
        """Note that the app has handled the request. Its response's body may still be sent."""
        self.is_active = False

    def last_as_long_as(self, body: object, on_end: Callable[[object], None]) -> None:
        """Call `on_end` when the response's body is freed. Raises TypeError for a body without weak references.

        The session holds the weak reference, so that it does not keep other objects alive.
        """
        self.response_body = weakref.ref(body, on_end)

    def await_storage(self) -> None:
        """Make the response wait until the events of this request are stored."""
        self.waits_for_storage = True

    def add_unstored(self) -> bool:
        """Make the response wait for one more event. Returns False if no response waits."""
        self.unstored_events += self.waits_for_storage
        return self.waits_for_storage

    def start_response(self) -> int:
        """Start the response. Returns the number of events it has to wait for; it does not wait for later ones."""
        is_awaited, self.waits_for_storage = self.waits_for_storage, False
        return self.unstored_events if is_awaited else 0

    @property
    def needs_id(self) -> bool:
        """Whether the visitor has no ID and should get one at once."""
        return self._browser_id is None and self.decision.assign == "at once"

    @property
    def needs_new_id(self) -> bool:
        """Whether the browser ID was rotated, and there is no new one yet for the response."""
        return self._is_rotated and self._browser_id is None and self.decision.sets_cookies

    def assign(self, issued: IssuedId) -> None:
        """Assign a new ID to the browser."""
        self._browser_id = issued.browser_id
        self.has_new_id = True
        self.has_new_guest = issued.guest_id is not None
        if issued.guest_id is not None:
            self._add_guest(issued.browser_id, issued.guest_id)
        if self._states:
            self._states[-1] = self._state()

    def unassign(self) -> None:
        """Remove the assigned ID, which may then be used for another visitor."""
        self._browser_id = None
        self.has_new_id = self.has_new_guest = False

    def identify(self, user_id: str, remembered: StoredIdentity | None) -> None:
        """Set the user. With `remembered`, the identity is also stored in the cookie."""
        self._push_state(
            _SessionState(
                user_id,
                self.stored_identity if remembered is None else remembered,
                self._identity_change if remembered is None else remembered,
                self._browser_id,
                self.has_new_id,
                self._is_rotated,
            )
        )

    def make_identity_undo(self, number: int = 1) -> Callable[[], None]:
        """Return a function that undoes the next `number` identity changes and keeps all later ones."""
        place = max(1, len(self._states))

        def take_back() -> None:
            for taken in range(place, min(place + number, len(self._states))):
                self._states[taken] = None
            left = [state for state in self._states if state is not None]
            if left:
                self._restore(left[-1])

        return take_back

    def reset(self) -> None:
        """Log out: remove the user ID, keep the browser ID."""
        self.log_outs += 1
        self._push_state(self._state()._replace(user_id=None, stored_identity=None, identity_change=_CLEARED))

    def rotate(self) -> None:
        """Remove the user ID and the browser ID, because another person will use this browser. A bot keeps its ID."""
        if self.decision.bot:
            self.reset()
        else:
            self._push_state(_SessionState(None, None, _CLEARED, None, has_new_id=False, is_rotated=True))

    def _state(self) -> _SessionState:
        return _SessionState(
            self._user_id,
            self.stored_identity,
            self._identity_change,
            self._browser_id,
            self.has_new_id,
            self._is_rotated,
        )

    def _push_state(self, state: _SessionState) -> None:
        if not self._states:
            self._states = [self._state()]
        self._states.append(state)
        self._restore(state)

    def _restore(self, state: _SessionState) -> None:
        self._user_id, self.stored_identity, self._identity_change = (
            state.user_id,
            state.stored_identity,
            state.identity_change,
        )
        self._browser_id, self.has_new_id, self._is_rotated = state.browser_id, state.has_new_id, state.is_rotated

    def _decide(self) -> None:
        try:
            if self._policy is None or self.request is None:
                self._decision = PAGE
            else:
                self._decision = self._policy.decide(self.request)
                if self.parsed_browser_id.browser_id is None:
                    self._decision = self._policy.decide_without_id(self.request, self._decision)
        except Exception:  # an internal error must not break the page
            log.exception("cannot decide what is allowed in a request; nothing is tracked in it")
            self._decision = BROKEN
        self.withheld_reason = self._decision.withheld
        self._apply(self._decision)

    def _apply(self, decision: Decision) -> None:
        """Ignore what the cookies say of a visitor who is not tracked, or is a bot, which has an ID of its own."""
        if decision.refusal is None and not decision.bot:
            return
        if decision.refusal is not None:
            self._browser_id = None
        elif self._policy is not None and self.request is not None:
            self._browser_id = self._policy.bot_id(self.request)
        self._user_id = self.stored_identity = None
        self.parsed_browser_id = self.parsed_browser_id._replace(browser_id=None, needs_renewal=False)

    @property
    def cookie_header(self) -> str:
        """The request's raw Cookie header."""
        return self.request.cookie_header if self.request is not None else ""

    @property
    def has_stale_id(self) -> bool:
        """Whether the browser's cookie has an ID that was rotated, and there is no new one yet."""
        return self._is_rotated and self._browser_id is None and self.parsed_browser_id.is_present

    @property
    def identity_change(self) -> StoredIdentity | None:
        """The new content of the identity cookie, if it has changed and is not to be deleted."""
        return self._identity_change if isinstance(self._identity_change, StoredIdentity) else None

    @property
    def is_identity_changed(self) -> bool:
        """Whether the identity cookie must be changed or deleted."""
        return self._identity_change is not _UNCHANGED

    @property
    def was_identified(self) -> bool:
        """Whether the visitor was identified in this request, even if the identity was removed again."""
        return any(state is not None and state.stored_identity is not None for state in self._states)

    @property
    def is_identity_cleared(self) -> bool:
        """Whether the identity cookie must be deleted."""
        return self._identity_change is _CLEARED


def bot_session(request: RequestInfo, browser_id: str) -> Session:
    """Make a session of a bot in a request, whatever its cookies say."""
    return Session(request, BOT, ParsedBrowserId(browser_id), None)


def session_of(browser_id: str, user_id: str | None = None) -> Session:
    """Make a session outside of any request."""
    return Session(None, PAGE, ParsedBrowserId(browser_id), None, user_id=user_id)
