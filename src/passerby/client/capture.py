"""Capture: turns the calls of one visitor during one request into events, and hands them to the client."""

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
from ..values.outcome import Dropped, Outcome
from .contract import ClientProtocol
from .receipt import Receipt

log: Logger = get_logger("passerby")


class EventCapture:
    """Captures the events of one visitor during one request.

    Args:
        client: who takes the events.
        session: the visitor.

    Attributes:
        builder: makes events of calls.
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
        """Make an event of a call and have it recorded; raises ValidationError for what no destination could take.

        Args:
            kind: which call it is.
            type: of an event, what it is called.
            event_data: as it was given.
            extension_data: as it was given.
            options: as they were given.
            held: whether it waits until the app releases it.
        """
        client = self._client
        takers = client.destinations_for[kind]
        destinations: Sequence[str] = takers or client.destination_names
        try:
            if options:
                check_names(options)
            chosen = options.get("destinations")
            if chosen is not None:
                destinations = choose_destinations(chosen, client.destination_names)
            if chosen is not None or not takers:
                destinations = self._accepting(destinations, kind)
            session = self._session
            if session.browser_id is None and session.decision.assign != "never":
                self._assign()
            event = self.builder.build(kind, type, event_data, extension_data, options, self.visitor_key())
            if session.decision.refusal is not None:
                return client.drop(session.decision.refusal, destinations)
            session.mark_tracked()
            receipt = Receipt(event.id, destinations)
            if kind == "identity":
                return self._capture_identity(event, destinations, receipt)
            undo = self.builder.undo_page_view if kind == "page_view" else None
            client.capture(session, event, destinations, receipt, held, undo)
            return receipt
        except ValidationError as error:
            return client.drop("invalid", destinations, error)
        except Exception:  # our own mistake must not break the page
            log.exception("a tracking call failed inside; it is dropped")
            return client.drop("internal", destinations)

    def _accepting(self, names: Sequence[str], kind: EventKind) -> Sequence[str]:
        """Return those that take a kind of event; raises ValidationError if there are some and none does."""
        takers = self._client.destinations_for[kind]
        found = tuple(name for name in names if name in takers)
        if names and not found:
            advice = (
                f"choose {', '.join(takers)}" if takers else "add CustomerIO(...) or Datalyr(...) to the destinations"
            )
            raise ValidationError(f"{kind}: found only destinations that do not take it, {', '.join(names)}; {advice}")
        return found

    def _capture_identity(self, event: Event, destinations: Sequence[str], receipt: Receipt) -> Receipt:
        client, session = self._client, self._session
        undo = session.make_identity_undo()
        if is_another_person(event, session.user_id):
            choice = client.defaults.on_user_change
            if choice == "refuse":
                log.warning(
                    "an identity is dropped: the browser belongs to another user; call reset() or rotate() first"
                )
                return client.drop("user-change", destinations)
            # Outside of requests the app names the browser itself.
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
        """Give the browser a new ID for another user; return the event for that ID, and what takes it all back.

        An invalid event changes nothing: it is checked before.
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
        """Give the browser a new ID, if one is ready; events from now on do not belong to those before."""
        self._session.rotate()
        self._visitor = None
        try:
            if self._session.decision.sets_cookies:
                self._client.assign(self._session)
        except Exception:
            log.exception("a browser ID could not be asked for; the visitor goes on without")

    def adopt_id(self, browser_id: str) -> None:
        """Go by an ID that is new to this browser, also with what was told before there was one."""
        if self._visitor is not None:
            browser_id = self._client.link(self._visitor, browser_id)
        self._session.assign(browser_id)

    def _assign(self) -> None:
        """Get an ID, if one is ready."""
        session = self._session
        self._client.assign(session)
        if session.browser_id is not None:
            self.adopt_id(session.browser_id)

    def visitor_key(self) -> str:
        """Under what this visitor's events are kept in order."""
        if self._visitor is None:
            browser_id = self._session.browser_id
            if browser_id is not None:
                return browser_id
            self._visitor = f"session:{new_event_id()}"
        return self._visitor  # also once there is an ID: what is told now must not overtake what was told before


def _is_kept(outcome: Outcome) -> bool:
    """Whether an event was not lost; what a dry run drops is kept in earnest, and the rest of a test goes by that."""
    return not isinstance(outcome, Dropped) or outcome.in_dry_run
