"""The interface of Sitecore's Cloud SDK and Content SDK: `init_cloud_sdk` and `init_content_sdk`."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Unpack, cast

from ..destinations.sitecore import EDGE_URL, EdgeDialect, PointOfSale, Sitecore
from ..destinations.sitecore.edge_form import NO_ID
from ..errors import BrowserIdUnavailable, RemoteTimeout, ValidationError
from ..settings.settings import SettingsValues
from ..values.app_values import bounded_items, is_mapping
from .engage import cookie_settings
from .receipt import Receipt
from .tracking import Tracking


class EdgeSDK:
    """The server functions of the Cloud SDK and the Content SDK.

    Each takes the request first, and one mapping with all data, `extension_data` inside. Names in camelCase work as
    well. Errors have the vendor's codes.

    Args:
        tracking: sends the events; give it to the middleware of your framework.
        dialect: whose error codes are used.
        timeout: seconds for which `initialize` may wait for a new visitor's browser ID.

    Attributes:
        tracking: see the argument.
    """

    def __init__(self, tracking: Tracking, dialect: EdgeDialect, timeout: float | None) -> None:
        self.tracking: Tracking = tracking
        self._dialect: EdgeDialect = dialect
        self._timeout = timeout

    async def initialize(self, request: Any, response: Any) -> None:
        """Set the visitor's cookies on a response, or renew them. With the middleware installed it is not needed.

        Args:
            request: an ASGI scope, a WSGI environ, or the request object of Starlette, FastAPI, Django or Flask.
            response: a list of headers, or the response object of such a framework.

        Raises:
            ValidationError: IV-0006 or IV-002, the timeout is not a number of seconds.
            RemoteTimeout: IE-0002 or IE-003, no ID within the given timeout.
            BrowserIdUnavailable: IE-0003 or IE-005, no ID is available.
        """
        with self._own_codes():
            await self.tracking.handle_cookie(request, response, self._timeout)

    def initialize_sync(self, request: Any, response: Any) -> None:
        """The same as `initialize`, for sync code."""
        with self._own_codes():
            self.tracking.handle_cookie_sync(request, response, self._timeout)

    def page_view(self, request: Any, data: Mapping[str, Any] | None = None) -> Receipt:
        """Track a page view.

        Args:
            request: the visitor's request.
            data: fields of `passerby.Tracker.page_view`, `extension_data`, `search_data`, and
                `include_utm_parameters`, by default True.
        """
        fields, extension = _split(data)
        return self.tracking.page_view(fields, request, extension)

    def identity(self, request: Any, data: Mapping[str, Any]) -> Receipt:
        """Identify the visitor; `data` has the fields of `passerby.Tracker.identity`, and `extension_data`."""
        fields, extension = _split(data)
        return self.tracking.identity(fields, request, extension)

    def event(self, request: Any, data: Mapping[str, Any]) -> Receipt:
        """Track an event; `data` has its `type`, its attributes, `search_data` and `extension_data`."""
        fields, extension = _split(data)
        return self.tracking.event(_take(fields, "type"), fields, request, extension)

    def form(
        self, request: Any, form_id: str, interaction_type: str, component_instance_id: str | None = None
    ) -> Receipt:
        """Track that the visitor has seen or submitted a form; see `passerby.Tracker.form`."""
        return self.tracking.form(form_id, interaction_type, request, component_instance_id)

    def bot_page_view(self, request: Any, data: Mapping[str, Any]) -> Receipt:
        """Track a page view of a bot, whatever the request says; `data` has its `user_agent`, `page` and `language`.

        With the setting ``bots="tag"`` and automatic page views it is not needed.
        """
        fields, _ = _split(data)
        if type(fields) not in (dict, type(None)):
            return self.tracking.bot_page_view(None, fields, request)  # which refuses it
        agent = _take(fields, "user_agent", "userAgent")
        shown = {name: _take(fields, name) for name in ("page", "language")}
        return self.tracking.bot_page_view(agent, shown, request)

    async def personalize(
        self, request: Any, data: Mapping[str, Any], timeout: float | None = None
    ) -> dict[str, Any] | None:
        """Request a personalisation; see `passerby.Tracker.personalize`.

        Args:
            request: the visitor's request.
            data: `friendly_id`, `channel` and other fields.
            timeout: in seconds, see `passerby.Tracker.personalize`.
        """
        with self._own_codes():
            return await self.tracking.personalize(data, request, timeout)

    def personalize_sync(
        self, request: Any, data: Mapping[str, Any], timeout: float | None = None
    ) -> dict[str, Any] | None:
        """The same as `personalize`, for sync code."""
        with self._own_codes():
            return self.tracking.personalize_sync(data, request, timeout)

    async def guest_id(self, request: Any, timeout: float | None = None) -> str:
        """Return the guest ID of the request's visitor; see `passerby.Tracker.guest_id`."""
        with self._own_codes():
            return await self.tracking.tracker_for(request).guest_id(timeout)

    def guest_id_sync(self, request: Any, timeout: float | None = None) -> str:
        """The same as `guest_id`, for sync code."""
        with self._own_codes():
            return self.tracking.tracker_for(request).guest_id_sync(timeout)

    @contextmanager
    def _own_codes(self) -> Generator[None]:
        """Give errors the codes of the SDK; those of `Tracking` are the Engage SDK's."""
        is_cloud = self._dialect == "cloud"
        try:
            yield
        except RemoteTimeout:
            raise RemoteTimeout("IE-0002" if is_cloud else "IE-003") from None
        except BrowserIdUnavailable:
            raise BrowserIdUnavailable(*(_NO_ID_CLOUD if is_cloud else _NO_ID_CONTENT)) from None
        except ValidationError as error:
            if error.code != "IV-0006":
                raise
            raise ValidationError(
                'Incorrect value for "timeout". Set the value to an integer greater than or equal to 0.',
                code="IV-0006" if is_cloud else "IV-002",
            ) from None


_NO_ID_CLOUD = (NO_ID.format("sc_{SitecoreEdgeContextId}", "browser ID", "sitecoreEdgeContextId"), "IE-0003")
_NO_ID_CONTENT = (NO_ID.format("sc_cid", "client ID", "contextId"), "IE-005")


def init_cloud_sdk(
    *,
    sitecore_edge_context_id: str,
    site_name: PointOfSale,
    sitecore_edge_url: str = EDGE_URL,
    enable_server_cookie: bool = False,
    cookie_expiry_days: float | None = None,
    enable_personalize_cookie: bool = False,
    timeout: float | None = None,
    adopt_engage_cookie: str | None = None,
    **settings: Unpack[SettingsValues],
) -> EdgeSDK:
    """Make the server functions of the Cloud SDK, with the arguments of its `CloudSDK`.

    Args:
        sitecore_edge_context_id: the context ID.
        site_name: the site name, or a callable that makes it from a request.
        sitecore_edge_url: the edge proxy's address.
        enable_server_cookie: whether `initialize` and the middleware set the cookie; the browser SDK does otherwise.
        cookie_expiry_days: how long the cookie lives, in days; 400 by default and at most.
        enable_personalize_cookie: whether the guest ID is kept in a cookie.
        timeout: seconds for which `initialize` may wait for a browser ID.
        adopt_engage_cookie: the client key of an earlier Engage SDK, whose visitors keep their browser IDs.
        settings: see `passerby.settings.settings.Settings`, `cookie_domain` and `cookie_path` among them.

    Raises:
        SettingsError: with the vendor's codes MV-0001, MV-0002, IV-0001.
    """
    sitecore = _make(
        "cloud",
        sitecore_edge_context_id,
        site_name,
        sitecore_edge_url,
        personalize_cookie=enable_personalize_cookie,
        adopt_engage_cookie=adopt_engage_cookie,
    )
    chosen = cookie_settings(settings, enable_server_cookie, cookie_expiry_days)
    return EdgeSDK(Tracking(sitecore, **chosen), "cloud", timeout)


def init_content_sdk(
    *,
    context_id: str,
    site_name: PointOfSale,
    edge_url: str = EDGE_URL,
    enable_cookie: bool = False,
    cookie_expiry_days: float | None = None,
    enable_personalize_cookie: bool = False,
    timeout: float | None = None,
    adopt_engage_cookie: str | None = None,
    **settings: Unpack[SettingsValues],
) -> EdgeSDK:
    """Make the server functions of the Content SDK, with the arguments of its `initContentSdk` and its plugins.

    Args:
        context_id: the context ID.
        site_name: the site name, or a callable that makes it from a request.
        edge_url: the edge proxy's address.
        enable_cookie: whether `initialize` and the middleware set the cookie; the browser SDK does otherwise.
        cookie_expiry_days: how long the cookie lives, in days; 400 by default and at most.
        enable_personalize_cookie: whether the guest ID is kept in a cookie.
        timeout: seconds for which `initialize` may wait for a browser ID.
        adopt_engage_cookie: the client key of an earlier Engage SDK, whose visitors keep their browser IDs.
        settings: see `passerby.settings.settings.Settings`, `cookie_domain` and `cookie_path` among them.

    Raises:
        SettingsError: with the vendor's codes MV-001, MV-002, IV-001.
    """
    sitecore = _make(
        "content",
        context_id,
        site_name,
        edge_url,
        personalize_cookie=enable_personalize_cookie,
        adopt_engage_cookie=adopt_engage_cookie,
    )
    chosen = cookie_settings(settings, enable_cookie, cookie_expiry_days)
    return EdgeSDK(Tracking(sitecore, **chosen), "content", timeout)


def _make(
    dialect: EdgeDialect,
    context_id: str,
    site_name: PointOfSale,
    edge_url: str | None,
    *,
    personalize_cookie: bool,
    adopt_engage_cookie: str | None,
) -> Sitecore:
    return Sitecore(
        edge_context_id=context_id or "",  # None here is a missing one, not the other form
        site_name=site_name,
        edge_url=edge_url or "",  # as in the SDK, where null is not the default
        dialect=dialect,
        personalize_cookie=bool(personalize_cookie),
        adopt_engage_cookie=adopt_engage_cookie,
    )


def _split(data: Any) -> tuple[Any, Any]:
    """Return the fields and the extension data of one mapping. Anything else is returned as it is, to be refused."""
    try:
        if not is_mapping(data):
            return data, None
        fields = dict(bounded_items(data, "event data"))
    except Exception:  # raised by the app's mapping; the tracking call refuses it
        return data, None
    extension = fields.pop("extension_data", None)
    given = fields.pop("extensionData", None)
    return fields, given if extension is None else extension


def _take(fields: Any, *names: str) -> Any:
    """Remove and return the first of these fields that is there."""
    if type(fields) is not dict:  # not `isinstance`, which may call an object of the app
        return None
    given = cast("dict[str, Any]", fields)
    return next((given.pop(name) for name in names if name in given), None)
