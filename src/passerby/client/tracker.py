"""The tracker: what a view handler holds, for one visitor during one request.

It does no I/O of its own: events go through `client.capture` to the client, and questions to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from logging import Logger
from typing import Any, Unpack

from ..errors import RemoteError, ValidationError
from ..events.attributes import plain
from ..events.context import language_of
from ..events.event import IdentityData, PageViewData
from ..events.identity import checked_id, checked_user_id, identity_of
from ..events.options import Options, read_personalization
from ..http.session import Session
from ..logs import get_logger
from .capture import EventCapture
from .contract import ClientProtocol
from .receipt import Receipt

log: Logger = get_logger("passerby")


class Tracker:
    """One visitor during one request: who they are, and what is told of them.

    A tracking call checks what it is given, records it and returns at once. It raises ValidationError for what no
    destination could take (unless ``on_invalid="drop"``) and nothing else.

    Attributes:
        session: what is known of the visitor in this request.
        outer: the tracker of the request within which this one was made, if it was.
    """

    __slots__ = ("__weakref__", "_client", "_made", "outer", "session")

    def __init__(self, client: ClientProtocol, session: Session) -> None:
        self._client = client
        self.session: Session = session
        self.outer: Tracker | None = None
        self._made: EventCapture | None = None

    def nest(self, outer: Tracker | None) -> None:
        """The request is handled within that of another tracker, which is the current one again afterwards."""
        self.outer = outer

    def __copy__(self) -> Tracker:
        return self

    def __deepcopy__(self, memo: object) -> Tracker:
        """A copy of a request is still of the same visitor."""
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """A request that is pickled, as Django allows, comes back with None for its tracker."""
        return type(None), ()

    @property
    def browser_id(self) -> str | None:
        """The browser's ID, in the very first request too; None where there is none yet or may be none."""
        self.session.mark_used()
        return self.session.browser_id

    @property
    def user_id(self) -> str | None:
        """Who the visitor is; None until identified, remembered over requests where cookies can be signed."""
        return self.session.user_id

    @property
    def point_of_sale(self) -> str | None:
        """The point of sale that events of this request get; set it to change it from here on."""
        return self._capture.builder.point_of_sale

    @point_of_sale.setter
    def point_of_sale(self, value: str | None) -> None:
        try:
            self._capture.builder.choose_point_of_sale(value)
        except ValidationError as error:
            self._client.drop("invalid", (), error)

    @property
    def has_page_view(self) -> bool:
        """Whether a page view was told in this request."""
        return self._made is not None and self._made.builder.has_page_view

    @property
    def _capture(self) -> EventCapture:
        """Made when something is tracked, which in most requests is nothing."""
        if self._made is None:
            self._made = EventCapture(self._client, self.session)
        return self._made

    def page_view(
        self,
        event_data: PageViewData | Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Tell that the visitor sees a page.

        Args:
            event_data: what is not given comes from settings and request.
            extension_data: the app's own attributes; at most 50 once flattened.
            options: see `Options`.
        """
        receipt = self._capture.capture("page_view", None, event_data, extension_data, options)
        self._capture.builder.mark_page_view()
        return receipt

    def event(
        self,
        type: str,
        event_data: Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Tell an event of a type of its own, such as ``"ADD"`` or ``"CHECKOUT"``.

        Args:
            type: the event's type; Sitecore CDP wants upper case.
            event_data: its attributes, sent as they are.
            extension_data: the app's own attributes; at most 50 once flattened.
            options: see `Options`.
        """
        return self._capture.capture("event", type, event_data, extension_data, options)

    def identity(
        self,
        event_data: IdentityData | Mapping[str, Any],
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Tell who the visitor is, in Sitecore's words: identifiers and what is known of the person.

        The user ID becomes the identifier of the configured provider, else the first one.

        Args:
            event_data: identifiers and fields.
            extension_data: the app's own attributes; at most 50 once flattened.
            options: see `Options`.
        """
        return self._capture.capture("identity", None, event_data, extension_data, options)

    def identify(self, user_id: object, traits: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> Receipt:
        """Tell who the visitor is, in Customer.io's and Datalyr's words: a user ID and traits.

        Safe to call on every page: what has not changed is not sent again within a day. On a browser that belongs to
        another user it gives the browser a new ID first; see the setting `on_user_change`.

        Args:
            user_id: text, a number or a UUID; best the database key. Not empty, at most 255 characters, not the browser
                ID.
            traits: what is known of the person; at most 50 attributes beside those that have a field of their own.
            options: see `Options`.
        """
        try:
            named = checked_user_id(user_id, self.session.browser_id)
            data, extension = identity_of(named, traits, self._client.defaults.identity_provider)
        except ValidationError as error:
            return self._client.drop("invalid", self._client.destination_names, error)
        return self._capture.capture("identity", None, data, extension, options)

    def group(self, group_id: object, traits: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> Receipt:
        """Tell that the visitor belongs to a group, such as a company or a team.

        Only destinations that know groups get it, such as Customer.io and Datalyr.

        Args:
            group_id: text, a number or a UUID; best the database key. Not empty, at most 255 characters.
            traits: what is known of the group.
            options: see `Options`.
        """
        try:
            data = {
                "group_id": checked_id(group_id, "group ID", "the same for all its members"),
                "traits": plain(traits, "traits"),
            }
        except ValidationError as error:
            return self._client.drop(
                "invalid", self._client.destinations_for["group"] or self._client.destination_names, error
            )
        return self._capture.capture("group", None, data, None, options)

    def alias(self, previous_id: object, **options: Unpack[Options]) -> Receipt:
        """Tell that another ID stands for the same person as the user ID that is known now.

        Only destinations that know aliases get it, such as Customer.io and Datalyr.

        Args:
            previous_id: the other ID: text, a number or a UUID. The visitor must have been identified by the new one.
            options: see `Options`.
        """
        try:
            data = {"previous_id": checked_id(previous_id, "previous ID", "by which the person was known before")}
        except ValidationError as error:
            return self._client.drop(
                "invalid", self._client.destinations_for["alias"] or self._client.destination_names, error
            )
        return self._capture.capture("alias", None, data, None, options)

    def reset(self) -> None:
        """The visitor has logged out: forget the user ID, keep the browser ID."""
        self.session.reset()

    def rotate(self) -> None:
        """Someone else is going to use this browser: forget the user ID and give it a new browser ID."""
        self._capture.rotate()

    def add_to_event_queue(
        self,
        type: str,
        event_data: Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Hold an event for this browser until `process_event_queue`, over as many requests as it takes.

        It is checked and gets its point of sale now, as `event` does.
        """
        return self._capture.capture("event", type, event_data, extension_data, options, held=True)

    def process_event_queue(self) -> int:
        """Let go of the events held for this browser, in their order.

        Returns how many this process held. Where workers share an outbox on disk, the others let go of theirs within a
        second or two.
        """
        return self._act_on_queue(self._client.release_held)

    def clear_event_queue(self) -> int:
        """Drop the events held for this browser (counted as "cleared"), here and in other workers of an outbox on disk.

        Returns how many this process held.
        """
        return self._act_on_queue(self._client.clear_held)

    def _act_on_queue(self, act: Callable[[Session, str], int]) -> int:
        try:
            return act(self.session, self._capture.visitor_key())
        except Exception:
            log.exception("the events held for a visitor could not be reached")
            return 0

    async def guest_id(self, timeout: float | None = None) -> str:
        """Ask Sitecore CDP for the ID of the guest behind this browser.

        Raises:
            RemoteTimeout: no answer within `timeout` seconds.
            RemoteError: the browser is unknown there, or the service could not be reached.
        """
        return await asyncio.wrap_future(self._client.ask_guest_id(self.browser_id, timeout))

    def guest_id_sync(self, timeout: float | None = None) -> str:
        """Do as `guest_id` does, in sync code."""
        return self._client.ask_guest_id(self.browser_id, timeout).result()

    async def personalize(self, data: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
        """Ask Sitecore for a personalisation; the one call that waits for the network.

        Args:
            data: `friendly_id`, and as wanted `channel`, `currency`, `language`, `email`, `identifier`, `params`,
                `point_of_sale`.
            timeout: in seconds, over the whole answer.

        Returns:
            What the experience answers, or None if there was no good answer, or if consent is missing.

        Raises:
            ValidationError: friendly ID or point of sale is missing.
            RemoteTimeout: no answer in time.
        """
        try:
            answer = self._ask_personalization(data, timeout)
            return None if answer is None else await asyncio.wrap_future(answer)
        except RemoteError as error:
            log.warning("no personalisation: %s", error)
            return None

    def personalize_sync(self, data: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
        """Do as `personalize` does, in sync code."""
        try:
            answer = self._ask_personalization(data, timeout)
            return None if answer is None else answer.result()
        except RemoteError as error:
            log.warning("no personalisation: %s", error)
            return None

    def _ask_personalization(
        self, data: Mapping[str, Any], timeout: float | None
    ) -> Future[dict[str, Any] | None] | None:
        if self.session.decision.refusal is not None:
            return None
        try:
            asked = read_personalization(data)
            builder = self._capture.builder
            locale = builder.locale(builder.context({}), {})
            if asked.get("language") is None and self._client.defaults.infer_from_request and locale is not None:
                asked["language"] = language_of(locale)
            return self._client.ask_personalization(asked, self.browser_id, self.point_of_sale, timeout)
        except ValidationError as error:
            self._client.drop("invalid", (), error)
            return None

    def adopt_id(self, browser_id: str) -> None:
        """Go by an ID that is new to this browser, also with what was told before there was one."""
        if self._made is None:
            self.session.assign(browser_id)
        else:
            self._made.adopt_id(browser_id)
