"""One visitor during one request: who they are, and what becomes of that in it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from logging import Logger
from typing import Final, Literal, NamedTuple

from ..logs import get_logger
from .cookie_context import Obstacle
from .policy import BROKEN, PAGE, Decision, Policy
from .request import RequestInfo
from .visitor_cookies import Remembered, Sighting

log: Logger = get_logger("passerby")

Withheld = Obstacle | Literal["shared cache"]


class _State(NamedTuple):
    """Who uses the browser, and which browser that is, as it is known at one moment of a request."""

    user_id: str | None
    remembered: Remembered | None
    identity_change: Remembered | str  # what the identity cookie gets
    browser_id: str | None
    assigned: bool
    has_left: bool


_UNCHANGED: Final = "unchanged"
_FORGOTTEN: Final = "forgotten"


class Visit:
    """The state of one visitor during one request; a plain value that only its own request changes.

    Attributes:
        request: what the request said, or None outside of any.
        sighting: what the browser-ID cookie said.
        remembered: what the identity cookie said.
        log_outs: how many log-outs of this browser there were, those of this request included.
        known_log_outs: how many of them the browser's cookie knows of; None if it has none.
        assigned: whether the browser ID was given out in this request and is not yet in a cookie.
        is_under_way: whether the app is handling the request at this moment.
        is_awaited: whether the response will wait until what is told is recorded.
        unrecorded: how many events it will wait for.
        body: the response's body, where the visit lasts as long as that.
        used: whether anything depends on the assigned ID: an event, a cookie, or the app, which has read it.
        has_events: whether an event was recorded.
        renews: whether the browser-ID cookie is to be set again even if it is fresh.
        withheld: why the response does not get the cookie that it should carry, if it does not.
        is_ignored: whether what was asked for is no page of the site, as the settings say of Django's admin.
    """

    __slots__ = (
        "_browser_id",
        "_decision",
        "_has_left",
        "_identity_change",
        "_policy",
        "_states",
        "_user_id",
        "assigned",
        "body",
        "has_events",
        "is_awaited",
        "is_ignored",
        "is_under_way",
        "known_log_outs",
        "log_outs",
        "remembered",
        "renews",
        "request",
        "sighting",
        "unrecorded",
        "used",
        "withheld",
    )

    def __init__(
        self,
        request: RequestInfo | None,
        decision: Decision | None,
        sighting: Sighting,
        remembered: Remembered | None,
        policy: Policy | None = None,
        user_id: str | None = None,
        log_outs: int | None = None,
    ) -> None:
        self.request: RequestInfo | None = request
        self.known_log_outs: int | None = log_outs
        self.log_outs: int = log_outs or 0
        self.sighting: Sighting = sighting
        self.remembered: Remembered | None = remembered
        self.assigned: bool = False
        self.used: bool = False
        self.has_events: bool = False
        self.renews: bool = False
        self.withheld: Withheld | None = None if decision is None else decision.withheld
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
        # The states in this request, the first of before any identity; None for what was taken back.
        self._states: list[_State | None] = []

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

    def withhold(self, reason: Withheld) -> None:
        """The response does not get a cookie that it should carry, for this reason."""
        self.withheld = reason

    def mark_used(self) -> None:
        """Something depends on the browser ID from now on, so it cannot go back to the pool."""
        self.used = True

    def mark_tracked(self) -> None:
        """An event of this visitor is to be recorded; with that its browser ID is used."""
        self.used = self.has_events = True

    def mark_ignored(self) -> None:
        """What was asked for is no page of the site, as the settings say."""
        self.is_ignored = True

    def request_renewal(self) -> bool:
        """Have the browser-ID cookie set again even if it is fresh. Returns whether this is the first time."""
        is_first, self.renews = not self.renews, True
        return is_first

    def start_handling(self) -> None:
        """The app begins to handle the request."""
        self.is_under_way = True

    def finish_handling(self) -> None:
        """The app has handled the request; its response's body may still be under way."""
        self.is_under_way = False

    def last_as_long_as(self, body: object, on_end: Callable[[object], None]) -> None:
        """Call `on_end` when the response's body is freed; raises TypeError for a body of which that cannot be seen.

        The visit keeps what waits for the body's end, so that it keeps nothing alive itself.
        """
        self.body = weakref.ref(body, on_end)

    def await_storage(self) -> None:
        """The response will wait until the events of this request are stored."""
        self.is_awaited = True

    def add_unstored(self) -> bool:
        """Have the response wait for one more event. Returns False if no response waits."""
        self.unrecorded += self.is_awaited
        return self.is_awaited

    def start_response(self) -> int:
        """The response starts: return for how many events it has to wait; for later ones it does not."""
        is_awaited, self.is_awaited = self.is_awaited, False
        return self.unrecorded if is_awaited else 0

    @property
    def needs_id(self) -> bool:
        """Whether the visitor should get an ID at once and has none."""
        return self._browser_id is None and self.decision.assign == "at once"

    @property
    def needs_new_id(self) -> bool:
        """Whether the browser's ID was given up, and there is no other one yet that the response can set."""
        return self._has_left and self._browser_id is None and self.decision.sets_cookies

    def assign(self, browser_id: str) -> None:
        """Give the visitor an ID that is new to this browser."""
        self._browser_id = browser_id
        self.assigned = True
        if self._states:
            self._states[-1] = self._state()

    def withdraw(self) -> None:
        """Take the given ID back: from now on it may be another's."""
        self._browser_id = None
        self.assigned = False

    def identify(self, user_id: str, remembered: Remembered | None) -> None:
        """From now on the visitor is this user; remembered, if cookies can be signed, over requests too."""
        if remembered is None:
            self._go_by(self._state()._replace(user_id=user_id))
        else:
            self._go_by(self._state()._replace(user_id=user_id, remembered=remembered, identity_change=remembered))

    def identity_undo(self, number: int = 1) -> Callable[[], None]:
        """Return what takes back the next changes, one by default; what comes after them stays, or comes to stay."""
        place = max(1, len(self._states))

        def take_back() -> None:
            for taken in range(place, min(place + number, len(self._states))):
                self._states[taken] = None
            left = [state for state in self._states if state is not None]
            if left:
                self._become(left[-1])

        return take_back

    def forget(self) -> None:
        """The visitor has logged out: forget the user ID, keep the browser ID."""
        self.log_outs += 1
        self._go_by(self._state()._replace(user_id=None, remembered=None, identity_change=_FORGOTTEN))

    def leave(self) -> None:
        """Someone else is going to use this browser: forget the user ID and the browser ID."""
        self._go_by(_State(None, None, _FORGOTTEN, None, assigned=False, has_left=True))

    def _state(self) -> _State:
        return _State(
            self._user_id, self.remembered, self._identity_change, self._browser_id, self.assigned, self._has_left
        )

    def _go_by(self, state: _State) -> None:
        if not self._states:
            self._states = [self._state()]
        self._states.append(state)
        self._become(state)

    def _become(self, state: _State) -> None:
        self._user_id, self.remembered, self._identity_change = state.user_id, state.remembered, state.identity_change
        self._browser_id, self.assigned, self._has_left = state.browser_id, state.assigned, state.has_left

    def _decide(self) -> None:
        try:
            if self._policy is None or self.request is None:
                self._decision = PAGE
            else:
                self._decision = self._policy.decide(self.request)
                if self.sighting.browser_id is None:
                    self._decision = self._policy.decide_without_id(self.request, self._decision)
        except Exception:  # our own mistake must not break the page
            log.exception("a request could not be judged; nothing is tracked in it")
            self._decision = BROKEN
        self.withheld = self._decision.withheld
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
    def was_identified(self) -> bool:
        """Whether an identity came up in this request, also one that was forgotten again."""
        return any(state is not None and state.remembered is not None for state in self._states)

    @property
    def is_forgotten(self) -> bool:
        """Whether the identity cookie must go."""
        return self._identity_change is _FORGOTTEN


def visit_of(browser_id: str, user_id: str | None = None) -> Visit:
    """Make a visit outside of any request."""
    return Visit(None, PAGE, Sighting(browser_id), None, user_id=user_id)
