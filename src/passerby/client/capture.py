"""Turns the tracking calls of one visitor during one request into events, and passes them to the client."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from logging import Logger
from typing import Any

from ..errors import ValidationError
from ..events.builder import EventBuilder
from ..events.event import Event, EventKind, new_event_id
from ..events.identity import is_another_person, is_unchanged, make_stored_identity
from ..events.options import Options, check_names, choose_destinations
from ..http.session import Session
from ..logs import get_logger
from ..values.browser_id import IssuedId
from ..values.outcome import Dropped, Outcome
from .contract import ClientProtocol
from .receipt import Receipt

log: Logger = get_logger("passerby")

_TAKERS: Mapping[EventKind, str] = {
    "form": "Sitecore(...)",
    "screen": "CustomerIO(...) or Segment(...)",
    "group": "CustomerIO(...) or Datalyr(...)",
    "alias": "CustomerIO(...) or Datalyr(...)",
}


class EventCapture:
    """Captures the events of one visitor during one request.

    Args:
        client: records the events.
        session: the visitor's session.

    Attributes:
        builder: builds the events.
    """

    __slots__ = ("_client", "_session", "_visitor", "builder")

    def __init__(self, client: ClientProtocol, session: Session) -> None:
        self.builder: EventBuilder = EventBuilder(client, session)
        self._client = client
        self._session = session
        self._visitor: str | None = None

    def capture(
        self,
        kind: EventKind,
        type: str | None,
        event_data: Mapping[str, Any] | None,
        extension_data: Mapping[str, Any] | None,
        options: Options,
        held: bool = False,
    ) -> Receipt:
        """Build and record the event of a call. Raises ValidationError for data that no destination could accept.

        Args:
            kind: the tracking call.
            type: the type of an `event` call.
            event_data: the event data passed to the call.
            extension_data: the extension data passed to the call.
            options: the options passed to the call.
            held: whether the event waits until the app releases it.
        """
        client = self._client
        takers = client.destinations_for[kind]
        destinations: Sequence[str] = takers or client.destination_names
        try:
            chosen = None
            if options:
                check_names(options)
                chosen = options.get("destinations")
            if chosen is not None:
                destinations = choose_destinations(chosen, client.destination_names)
            if chosen is not None or not takers:
                destinations = self._accepting(destinations, kind)
            session = self._session
            decision, browser_id = session.decision, session.browser_id
            if browser_id is None and decision.assign != "never":
                browser_id = self._assign()
            visitor = self._visitor or browser_id or self.visitor_key()
            event = self.builder.build(kind, type, event_data, extension_data, options, browser_id, visitor)
            if decision.refusal is not None or (decision.bot and kind != "page_view"):
                return client.drop(decision.refusal or "bot", destinations)
            session.mark_tracked()
            receipt = Receipt(event.id, destinations)
            if kind == "identity":
                return self._capture_identity(event, destinations, receipt)
            undo = self.builder.undo_page_view if kind == "page_view" else None
            client.capture(session, event, destinations, receipt, held, undo)
            return receipt
        except ValidationError as error:
            return client.drop("invalid", destinations, error)
        except Exception:  # an internal error must not break the page
            log.exception("internal error in a tracking call; its event is dropped")
            return client.drop("internal", destinations)

    def _accepting(self, names: Sequence[str], kind: EventKind) -> Sequence[str]:
        """Return the destinations that accept a kind of event. Raises ValidationError if none of them does."""
        takers = self._client.destinations_for[kind]
        found = tuple(name for name in names if name in takers)
        if names and not found:
            lacking = _TAKERS.get(kind, "another one")
            advice = f"choose {', '.join(takers)}" if takers else f"add {lacking} to the destinations"
            raise ValidationError(f"{kind}: found only destinations that do not take it, {', '.join(names)}; {advice}")
        return found

    def _capture_identity(self, event: Event, destinations: Sequence[str], receipt: Receipt) -> Receipt:
        client, session = self._client, self._session
        undo = session.make_identity_undo()
        if is_another_person(event, session.user_id):
            choice = client.defaults.on_user_change
            if choice == "refuse":
                log.warning("dropped an identity: the browser belongs to another user; call reset() or rotate() first")
                return client.drop("user-change", destinations)
            # Outside of requests the app has chosen the browser ID.
            if choice == "rotate" and session.request is not None:
                event, undo = self._rotate_for(event, destinations)
        is_to_remember = client.defaults.remembers_users and event.user_id is not None
        remembered = make_stored_identity(event, destinations, client.now()) if is_to_remember else None
        if remembered is not None and is_unchanged(remembered, session.stored_identity):
            return client.drop("unchanged", destinations)
        client.capture(session, event, destinations, receipt, False, undo)
        if event.user_id is not None:
            kept = any(map(_is_kept, receipt.outcomes.values()))
            session.identify(event.user_id, remembered if kept else None)
        return receipt

    def _rotate_for(self, event: Event, destinations: Sequence[str]) -> tuple[Event, Callable[[], None]]:
        """Assign a new browser ID for another user. Returns the event with this ID, and a function that undoes all.

        The event is checked first, so that an invalid one changes nothing.
        """
        self._client.check(event, destinations)
        session, visitor, browser_id = self._session, self._visitor, self._session.browser_id
        take_back = session.make_identity_undo(2)

        def undo() -> None:
            take_back()
            if session.browser_id == browser_id:
                self._visitor = visitor

        self.rotate()
        return event._replace(browser_id=session.browser_id, visitor=self.visitor_key(), previous_id=None), undo

    def rotate(self) -> None:
        """Assign a new browser ID, if one is ready. Later events are not linked to earlier ones."""
        self._session.rotate()
        self._visitor = None
        try:
            if self._session.decision.sets_cookies:
                self._client.assign(self._session)
        except Exception:
            log.exception("cannot request a browser ID; the visitor continues without")

    def adopt_id(self, issued: IssuedId) -> None:
        """Assign a new browser ID, also to the events recorded before."""
        if self._visitor is not None:
            linked = self._client.link(self._visitor, issued)
            issued = issued if linked == issued.browser_id else IssuedId(linked)
        self._session.assign(issued)

    def _assign(self) -> str | None:
        """Assign an ID, if one is ready. Returns the browser ID."""
        session = self._session
        self._client.assign(session)
        if self._visitor is not None and session.issued_id is not None:
            self.adopt_id(session.issued_id)
        return session.browser_id

    def visitor_key(self) -> str:
        """Return the key by which this visitor's events are kept in order."""
        if self._visitor is None:
            browser_id = self._session.browser_id
            if browser_id is not None:
                return browser_id
            self._visitor = f"session:{new_event_id()}"
        return self._visitor  # also with an ID: later events must not overtake earlier ones


def _is_kept(outcome: Outcome) -> bool:
    """Return whether an event was kept. One dropped in a dry run counts as kept, so that tests behave as usual."""
    return not isinstance(outcome, Dropped) or outcome.in_dry_run
