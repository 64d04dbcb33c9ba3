"""Queries about the visitor of a tracker: the guest ID, and personalisation. They wait for the network."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from logging import Logger
from typing import Any

from ..destinations import PersonalizationRequest
from ..errors import RemoteError, RemoteTimeout, ValidationError
from ..events.builder import EventBuilder
from ..events.context import language_of
from ..events.options import checked_timeout, read_personalization
from ..http.session import Session
from ..logs import get_logger
from ..values.browser_id import is_uuid
from .contract import ClientProtocol

log: Logger = get_logger("passerby")


class VisitorQueries:
    """Asks about one visitor during one request.

    Args:
        client: performs the requests.
        session: the visitor's session, which keeps the guest ID.
        builder: knows the context and the point of sale of the request.
    """

    def __init__(self, client: ClientProtocol, session: Session, builder: EventBuilder) -> None:
        self._client = client
        self._session = session
        self._builder = builder

    async def guest_id(self, timeout: float | None) -> str:
        """Return the guest ID; see `Tracker.guest_id`."""
        self._refuse_bot()
        known, browser_id = self._known_guest_id, self._browser_id
        if known is not None:
            return known
        return self._learn(browser_id, await asyncio.wrap_future(self._client.ask_guest_id(browser_id, timeout)))

    def guest_id_sync(self, timeout: float | None) -> str:
        """The same as `guest_id`, for sync code."""
        self._refuse_bot()
        known, browser_id = self._known_guest_id, self._browser_id
        return known or self._learn(browser_id, self._client.ask_guest_id(browser_id, timeout).result())

    @property
    def _browser_id(self) -> str | None:
        """The browser ID, which is sent."""
        self._session.mark_used()
        return self._session.browser_id

    def _refuse_bot(self) -> None:
        if self._session.decision.bot:
            raise RemoteError("guest ID: this visitor is a bot, which has none")

    @property
    def _known_guest_id(self) -> str | None:
        return self._session.guest_id if self._client.keeps_guest_id else None

    def _learn(self, browser_id: str | None, guest_id: str) -> str:
        """Note the answer of the service, unless it is no ID that fits into a cookie."""
        if browser_id is not None and is_uuid(guest_id):
            self._session.learn_guest_id(browser_id, guest_id)
        return guest_id

    async def personalize(self, data: Mapping[str, Any], timeout: float | None) -> dict[str, Any] | None:
        """Return a personalisation; see `Tracker.personalize`."""
        read = self._read_personalization(data, timeout)
        if read is None:
            return None
        request, left = read
        try:
            if self._needs_guest_id():
                began = time.monotonic()
                with suppress(RemoteError, RemoteTimeout):
                    await self.guest_id(_half_of(left))
                left = _rest_of(left, began)
            return await asyncio.wrap_future(self._ask_personalization(request, left))
        except RemoteError as error:
            log.warning("personalisation failed: %s", error)
            return None

    def personalize_sync(self, data: Mapping[str, Any], timeout: float | None) -> dict[str, Any] | None:
        """The same as `personalize`, for sync code."""
        read = self._read_personalization(data, timeout)
        if read is None:
            return None
        request, left = read
        try:
            if self._needs_guest_id():
                began = time.monotonic()
                with suppress(RemoteError, RemoteTimeout):
                    self.guest_id_sync(_half_of(left))
                left = _rest_of(left, began)
            return self._ask_personalization(request, left).result()
        except RemoteError as error:
            log.warning("personalisation failed: %s", error)
            return None

    def _needs_guest_id(self) -> bool:
        """Return whether a personalisation needs a guest ID that is not known yet."""
        session = self._session
        return self._client.keeps_guest_id and session.guest_id is None and session.browser_id is not None

    def _read_personalization(
        self, data: Mapping[str, Any], timeout: float | None
    ) -> tuple[PersonalizationRequest, float | None] | None:
        """Return the checked request of a personalisation and its timeout, or None if nothing is asked."""
        decision = self._session.decision
        if decision.refusal is not None or decision.bot:
            return None
        try:
            seconds = checked_timeout(timeout)
            asked, params = read_personalization(data)
            builder = self._builder
            context = builder.context({})
            locale = builder.locale(context, {})
            if asked.get("language") is None and self._client.defaults.infer_from_request and locale is not None:
                asked["language"] = language_of(locale)
            request = PersonalizationRequest(
                asked, params, self._browser_id, self._session.guest_id, builder.point_of_sale, context
            )
            self._client.check_personalization(request)
        except ValidationError as error:
            self._client.drop("invalid", (), error)
            return None
        return request, seconds

    def _ask_personalization(
        self, request: PersonalizationRequest, timeout: float | None
    ) -> Future[dict[str, Any] | None]:
        return self._client.ask_personalization(replace(request, guest_id=self._session.guest_id), timeout)


def _half_of(seconds: float | None) -> float | None:
    """Return the time for a request that another one follows, which is the one that counts."""
    return None if seconds is None else seconds / 2


def _rest_of(seconds: float | None, began: float) -> float | None:
    """Return what is left of the time for two requests, of which the first began at this moment."""
    return None if seconds is None else max(0.0, seconds - (time.monotonic() - began))
