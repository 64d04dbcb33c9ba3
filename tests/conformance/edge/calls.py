"""The calls of both SDKs, as passerby's, for one request and its response."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from passerby import Receipt, Tracker
from passerby.client.edge import EdgeSDK

from ..calls import timeout_of
from ..case import JSON

Scope = dict[str, Any]


class EdgeCalls:
    """Makes the calls on passerby's object."""

    def __init__(self, sdk: EdgeSDK, scope: Scope, response: Response) -> None:
        self.sdk = sdk
        self.scope = scope
        self.response = response

    async def make(self, call: str, args: JSON) -> Any:
        """Make a call by the SDK's name for it."""
        return await getattr(self, call)(args)

    async def initialize(self, args: JSON) -> None:
        if not self._is_below_middleware:
            await self.sdk.initialize(self.scope, self.response)

    async def pageView(self, args: JSON) -> Receipt:  # noqa: N802 - the SDK's name, as all below
        return self.sdk.page_view(self.scope, *_given(args, "data"))

    async def identity(self, args: JSON) -> Receipt:
        data: Any = args.get("data")
        return self.sdk.identity(self.scope, data)

    async def event(self, args: JSON) -> Receipt:
        data: Any = args.get("data")
        return self.sdk.event(self.scope, data)

    async def form(self, args: JSON) -> Receipt:
        names = ("formId", "interactionType", "componentInstanceId")
        form_id, interaction, instance = (args.get(name) for name in names)
        return self.sdk.form(self.scope, form_id, interaction, instance)  # type: ignore[arg-type]

    async def botPageView(self, args: JSON) -> Receipt:  # noqa: N802
        data: Any = args.get("data")
        return self.sdk.bot_page_view(self.scope, data)

    async def personalize(self, args: JSON) -> Any:
        data: Any = args.get("data")
        return await self.sdk.personalize(self.scope, data, **timeout_of(args.get("opts") or {}))

    async def getGuestIdServer(self, args: JSON) -> str:  # noqa: N802
        return await self.sdk.guest_id(self.scope)

    async def getGuestId(self, args: JSON) -> str:  # noqa: N802
        return await self.sdk.guest_id(self.scope)

    async def getBrowserId(self, args: JSON) -> str:  # noqa: N802
        return self._tracker.browser_id or ""

    async def getClientId(self, args: JSON) -> str:  # noqa: N802
        return self._tracker.browser_id or ""

    async def addToEventQueue(self, args: JSON) -> Receipt:  # noqa: N802
        data: Any = dict(args["data"])
        kind, extension = data.pop("type", None), data.pop("extensionData", None)
        return self._tracker.add_to_event_queue(kind, data, extension)

    async def clearEventQueue(self, args: JSON) -> None:  # noqa: N802
        self._tracker.clear_event_queue()

    async def processEventQueue(self, args: JSON) -> None:  # noqa: N802
        self._tracker.process_event_queue()

    @property
    def _tracker(self) -> Tracker:
        return self.sdk.tracking.tracker_for(self.scope)

    @property
    def _is_below_middleware(self) -> bool:
        return "tracker" in self.scope.get("state", {})


def _given(args: JSON, name: str) -> list[Any]:
    return [args[name]] if name in args else []
