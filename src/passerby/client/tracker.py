"""The tracker of one visitor during one request, as used by view functions.

It does no I/O of its own: events go through `client.capture` to the client, and questions through `client.queries`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from logging import Logger
from typing import Any, Unpack

from ..errors import ValidationError
from ..events.attributes import plain
from ..events.event import EventKind, IdentityData, PageViewData
from ..events.identity import checked_id, checked_user_id, identity_of
from ..events.options import Options, form_data
from ..http.session import Session
from ..logs import get_logger
from ..values.browser_id import IssuedId
from .capture import EventCapture
from .contract import ClientProtocol
from .queries import VisitorQueries
from .receipt import QueueReceipt, Receipt

log: Logger = get_logger("passerby")


class Tracker:
    """Tracks the events of one visitor during one request.

    A tracking call checks its data, records the event and returns at once. It raises ValidationError for data that no
    destination could accept (unless ``on_invalid="drop"``) and nothing else.

    Attributes:
        session: the visitor's session.
        outer: the tracker of the outer request, if this request is nested.
    """

    __slots__ = ("__weakref__", "_client", "_made", "outer", "session")

    def __init__(self, client: ClientProtocol, session: Session) -> None:
        self._client = client
        self.session: Session = session
        self.outer: Tracker | None = None
        self._made: EventCapture | None = None

    def nest(self, outer: Tracker | None) -> None:
        """Set the tracker of the outer request, which is the current one again afterwards."""
        self.outer = outer

    def __copy__(self) -> Tracker:
        return self

    def __deepcopy__(self, memo: object) -> Tracker:
        """Return the same tracker: a copy of a request has the same visitor."""
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        """Pickle as None, so that a Django request can be pickled."""
        return type(None), ()

    @property
    def browser_id(self) -> str | None:
        """The browser ID, also in the first request; None if there is none yet or none is allowed."""
        self.session.mark_used()
        return self.session.browser_id

    @property
    def user_id(self) -> str | None:
        """The user ID; None until identified. With a secret key it is kept over requests."""
        return self.session.user_id

    @property
    def point_of_sale(self) -> str | None:
        """The point of sale of events of this request; set it to change it for later events."""
        return self._capture.builder.point_of_sale

    @point_of_sale.setter
    def point_of_sale(self, value: str | None) -> None:
        try:
            self._capture.builder.choose_point_of_sale(value)
        except ValidationError as error:
            self._client.drop("invalid", (), error)

    @property
    def has_page_view(self) -> bool:
        """Whether a page view was tracked in this request."""
        return self._made is not None and self._made.builder.has_page_view

    @property
    def _capture(self) -> EventCapture:
        """Created on first use, because in most requests nothing is tracked."""
        if self._made is None:
            self._made = EventCapture(self._client, self.session)
        return self._made

    def page_view(
        self,
        event_data: PageViewData | Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Track a page view.

        Args:
            event_data: missing values are filled in from settings and request.
            extension_data: the app's attributes; at most 50 after flattening.
            options: see `Options`.
        """
        capture = self._capture
        receipt = capture.capture("page_view", None, event_data, extension_data, options)
        capture.builder.mark_page_view()
        return receipt

    def event(
        self,
        type: str,
        event_data: Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Track an event with a custom type, such as ``"ADD"`` or ``"CHECKOUT"``.

        Args:
            type: the event's type; Sitecore CDP wants upper case.
            event_data: its attributes, sent as they are.
            extension_data: the app's attributes; at most 50 after flattening.
            options: see `Options`.
        """
        return self._capture.capture("event", type, event_data, extension_data, options)

    def identity(
        self,
        event_data: IdentityData | Mapping[str, Any],
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Identify the visitor in Sitecore's terms: identifiers and known fields of the person.

        The user ID becomes the identifier of the configured provider, else the first one.

        Args:
            event_data: identifiers and fields.
            extension_data: the app's attributes; at most 50 after flattening.
            options: see `Options`.
        """
        return self._capture.capture("identity", None, event_data, extension_data, options)

    def identify(self, user_id: object, traits: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> Receipt:
        """Identify the visitor in Customer.io's and Datalyr's terms: a user ID and traits.

        Safe to call on every page: an unchanged identity is not sent again within a day. If the browser belongs to
        another user, it gets a new browser ID first; see the setting `on_user_change`.

        Args:
            user_id: text, a number or a UUID; best the database key. Not empty, at most 255 characters, not the browser
                ID.
            traits: the person's traits; at most 50 in addition to those that have a field in `identity`.
            options: see `Options`.
        """
        try:
            named = checked_user_id(user_id, self.session.browser_id)
            data, extension = identity_of(named, traits, self._client.defaults.identity_provider)
        except ValidationError as error:
            return self._client.drop("invalid", self._client.destination_names, error)
        return self._capture.capture("identity", None, data, extension, options)

    def form(
        self, form_id: str, interaction: str, component_instance_id: str | None = None, **options: Unpack[Options]
    ) -> Receipt:
        """Track that the visitor has seen or submitted a form.

        Sitecore gets an event of the type FORM, other destinations one such as "Form Submitted".

        Args:
            form_id: the form's ID.
            interaction: ``"VIEWED"`` or ``"SUBMITTED"``; other texts are sent too, in upper case.
            component_instance_id: the ID of the form on its page, if the form is a component of Sitecore.
            options: see `Options`.
        """
        try:
            data = form_data(form_id, interaction, component_instance_id)
        except ValidationError as error:
            return self._drop_invalid("form", error)
        return self._capture.capture("form", f"Form {data['interaction'].capitalize()}", data, None, options)

    def screen(self, name: str, properties: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> Receipt:
        """Track that a screen of an app was shown, which is what a page is on the web.

        It is sent only to destinations that support screens, such as Customer.io.

        Args:
            name: the screen's name.
            properties: its properties.
            options: see `Options`.
        """
        return self._capture.capture("screen", name, properties, None, options)

    def group(self, group_id: object, traits: Mapping[str, Any] | None = None, **options: Unpack[Options]) -> Receipt:
        """Track that the visitor belongs to a group, such as a company or a team.

        It is sent only to destinations that support groups, such as Customer.io and Datalyr.

        Args:
            group_id: text, a number or a UUID; best the database key. Not empty, at most 255 characters.
            traits: the group's traits.
            options: see `Options`.
        """
        try:
            data = {
                "group_id": checked_id(group_id, "group ID", "the same for all its members"),
                "traits": plain(traits, "traits"),
            }
        except ValidationError as error:
            return self._drop_invalid("group", error)
        return self._capture.capture("group", None, data, None, options)

    def alias(self, previous_id: object, **options: Unpack[Options]) -> Receipt:
        """Track that another ID belongs to the same person as the current user ID.

        It is sent only to destinations that support aliases, such as Customer.io and Datalyr.

        Args:
            previous_id: the other ID: text, a number or a UUID. The visitor must have been identified by the new one.
            options: see `Options`.
        """
        try:
            data = {"previous_id": checked_id(previous_id, "previous ID", "by which the person was known before")}
        except ValidationError as error:
            return self._drop_invalid("alias", error)
        return self._capture.capture("alias", None, data, None, options)

    def _drop_invalid(self, kind: EventKind, error: ValidationError) -> Receipt:
        """Count a dropped event of a kind that not all destinations take."""
        destinations = self._client.destinations_for[kind] or self._client.destination_names
        return self._client.drop("invalid", destinations, error)

    def reset(self) -> None:
        """Log out: remove the user ID, keep the browser ID."""
        self.session.reset()

    def rotate(self) -> None:
        """Remove the user ID and assign a new browser ID, because another person will use this browser."""
        self._capture.rotate()

    def add_to_event_queue(
        self,
        type: str,
        event_data: Mapping[str, Any] | None = None,
        extension_data: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Receipt:
        """Hold an event for this browser until `process_event_queue`, also over several requests.

        It is checked and gets its point of sale now, as in `event`.
        """
        return self._capture.capture("event", type, event_data, extension_data, options, held=True)

    def process_event_queue(self) -> QueueReceipt:
        """Release the events held for this browser, in their order, whichever process has recorded them."""
        return self._act_on_queue(self._client.release_held)

    def clear_event_queue(self) -> QueueReceipt:
        """Drop the events held for this browser (counted as "cleared"), whichever process has recorded them."""
        return self._act_on_queue(self._client.clear_held)

    def _act_on_queue(self, act: Callable[[Session, str], QueueReceipt]) -> QueueReceipt:
        try:
            return act(self.session, self._capture.visitor_key())
        except Exception:
            log.exception("cannot access the events held for a visitor")
            receipt = QueueReceipt()
            receipt.resolve(0)
            return receipt

    async def guest_id(self, timeout: float | None = None) -> str:
        """Return the guest ID of this browser. It is requested from Sitecore unless it is known.

        It is known if the destination keeps it in a cookie.

        Raises:
            RemoteTimeout: no response within `timeout` seconds.
            RemoteError: the browser is unknown there, or the service could not be reached.
        """
        return await self._queries.guest_id(timeout)

    def guest_id_sync(self, timeout: float | None = None) -> str:
        """The same as `guest_id`, for sync code."""
        return self._queries.guest_id_sync(timeout)

    async def personalize(self, data: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
        """Request a personalisation from Sitecore. Waits for the network.

        Args:
            data: `friendly_id`, and optionally `channel`, `currency`, `language`, `email`, `identifier`, `params`,
                `point_of_sale`; in the edge form also `geo` and `page_variant_ids`.
            timeout: in seconds, for all requests together; one for the guest ID gets at most half of it.

        Returns:
            The response of the experience, or None if it failed, consent is missing, or the visitor is a known bot.

        Raises:
            ValidationError: friendly ID or point of sale is missing.
            RemoteTimeout: no response in time.
        """
        return await self._queries.personalize(data, timeout)

    def personalize_sync(self, data: Mapping[str, Any], timeout: float | None = None) -> dict[str, Any] | None:
        """The same as `personalize`, for sync code."""
        return self._queries.personalize_sync(data, timeout)

    @property
    def _queries(self) -> VisitorQueries:
        return VisitorQueries(self._client, self.session, self._capture.builder)

    def adopt_id(self, issued: IssuedId) -> None:
        """Assign a new browser ID, also to the events recorded before."""
        if self._made is None:
            self.session.assign(issued)
        else:
            self._made.adopt_id(issued)
