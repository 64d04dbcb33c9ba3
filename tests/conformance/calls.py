"""The SDK's calls, as passerby's: on the server object, and on the tracker of a page."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from passerby import Receipt, Tracker, Tracking

from .case import JSON

Scope = dict[str, Any]


class ServerCalls:
    """The calls of `initServer`, on the server object, for one request and its response."""

    def __init__(self, tracking: Tracking, scope: Scope, response: Response) -> None:
        self.tracking = tracking
        self.scope = scope
        self.response = response

    async def handleCookie(self, args: JSON) -> None:  # noqa: N802 - the SDK's name, as all below
        await self.tracking.handle_cookie(self.scope, self.response, **timeout_of(args))

    async def pageView(self, args: JSON) -> Receipt:  # noqa: N802
        return self.tracking.page_view(args.get("eventData"), self.scope, args.get("extensionData"))

    async def identity(self, args: JSON) -> Receipt:
        data: Any = args.get("eventData")
        return self.tracking.identity(data, self.scope, args.get("extensionData"))

    async def event(self, args: JSON) -> Receipt:
        kind: Any = args.get("type")
        return self.tracking.event(kind, args.get("eventData"), self.scope, args.get("extensionData"))

    async def personalize(self, args: JSON) -> Any:
        data: Any = args.get("personalizeData")
        return await self.tracking.personalize(data, self.scope, **timeout_of(args))


class PageCalls:
    """The calls of `init`, on the tracker of a page's request."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    async def pageView(self, args: JSON) -> Receipt:  # noqa: N802
        return self.tracker.page_view(args.get("eventData"), args.get("extensionData"))

    async def identity(self, args: JSON) -> Receipt:
        data: Any = args.get("eventData")
        return self.tracker.identity(data, args.get("extensionData"))

    async def event(self, args: JSON) -> Receipt:
        kind: Any = args.get("type")
        return self.tracker.event(kind, args.get("eventData"), args.get("extensionData"))

    async def personalize(self, args: JSON) -> Any:
        data: Any = args.get("personalizeData")
        return await self.tracker.personalize(data, **timeout_of(args))

    async def getBrowserId(self, args: JSON) -> str:  # noqa: N802
        return self.tracker.browser_id or ""

    async def getGuestId(self, args: JSON) -> str:  # noqa: N802
        return await self.tracker.guest_id()

    async def updatePointOfSale(self, args: JSON) -> None:  # noqa: N802
        self.tracker.point_of_sale = args.get("pointOfSale")

    async def addToEventQueue(self, args: JSON) -> Receipt:  # noqa: N802
        kind: Any = args.get("type")
        return self.tracker.add_to_event_queue(kind, args.get("eventData"), args.get("extensionData"))

    async def clearEventQueue(self, args: JSON) -> None:  # noqa: N802
        self.tracker.clear_event_queue()

    async def processEventQueue(self, args: JSON) -> None:  # noqa: N802
        self.tracker.process_event_queue()


def timeout_of(args: JSON) -> dict[str, Any]:
    """The timeout as passerby takes it, in seconds."""
    if "timeout" not in args:
        return {}
    timeout = args["timeout"]
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    return {"timeout": timeout / 1000 if is_number else timeout}
