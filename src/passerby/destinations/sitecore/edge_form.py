"""The form of the Cloud SDK and the Content SDK: requests to the edge proxy, with a context ID and a site name.

Sources of the facts: the requests of `@sitecore-cloudsdk/*` 0.6.1 and of `@sitecore-content-sdk/*` 2.1 as observed on
the wire, and Sitecore's documentation. Both send the same bodies; they differ in headers, codes and a few checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args
from urllib.parse import quote, urlencode
from uuid import uuid4

from ...errors import RemoteError, SettingsError, ValidationError
from ...events.attributes import MAX_ATTRIBUTES
from ...events.event import Context, Event
from ...values import json
from .. import DestinationResponse, IssuedId, OldCookie, OutgoingRequest, PersonalizationRequest, Query, SharedCookie
from ..target import checked_switch, checked_target
from .answers import read_guest_id, read_issued_id, read_personalization
from .bodies import event_body, personalization_body, personalization_data
from .checks import (
    IdentityCodes,
    check_event_data,
    check_identity,
    check_site,
    check_site_of_call,
    checked_account,
    is_email,
    is_empty,
    is_real_day,
    is_real_minute,
)

EDGE_URL = "https://edge-platform.sitecorecloud.io"  # the vendor's default

# Said where no ID is given: with the name of the cookie, what is missing, and the setting to check.
NO_ID = (
    'Unable to set the "{}" cookie because the {} could not be retrieved from the server. Make sure to set the correct '
    'values for "{}" and "siteName". If the issue persists, try again later or use try-catch blocks to handle this '
    "error."
)

EdgeDialect = Literal["content", "cloud"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """What differs between the two SDKs: the names of settings, the codes, and the versions in headers."""

    context_id: tuple[str, str]  # setting, code
    site_name: str
    url: tuple[str, str, str]  # setting, code, the end of the message
    identity: IdentityCodes
    friendly_id: str
    extension: str
    guest_id: tuple[str, str]  # message, code
    software: str
    version: str
    query_version: str


_WORDS = {
    "cloud": _Words(
        context_id=("sitecoreEdgeContextId", "MV-0001"),
        site_name="MV-0002",
        url=("sitecoreEdgeUrl", "IV-0001", "a valid URL string."),
        identity=IdentityCodes("MV-0003", dob="IV-0002", expiry_date="IV-0004", email="IV-0003"),
        friendly_id="MV-0004",
        extension="IV-0005",
        guest_id=(
            NO_ID.format("sc_{SitecoreEdgeContextId}_personalize", "guest ID", "sitecoreEdgeContextId"),
            "IE-0011",
        ),
        software="@sitecore-cloudsdk/events 0.6.1",
        version="0.6.1",
        query_version="0.6.1",
    ),
    "content": _Words(
        context_id=("contextId", "MV-001"),
        site_name="MV-002",
        url=("edgeUrl", "IV-001", "a valid URL."),
        identity=IdentityCodes("MV-003", dob="IV-003", expiry_date="IV-005", email="IV-004"),
        friendly_id="MV-004",
        extension="IV-006",
        guest_id=(NO_ID.format("sc_cid_personalize", "visitor ID", "contextId"), "IE-006"),
        software="@sitecore-content-sdk/events 2.1.2",
        version="2.1.2",
        query_version="2.1.0",
    ),
}


class EdgeForm:
    """Encodes requests as the Cloud SDK or the Content SDK does.

    Args:
        context_id: see `Sitecore`, as for the others.
        site_name: the site name, or a callable.
        edge_url: the edge proxy's address; None means the vendor's.
        dialect: whose headers, codes and checks are used.
        include_utm_parameters: whether page views carry the URL's utm parameters.
        personalize_cookie: whether the guest ID is kept in a cookie.
        adopt_engage_cookie: the client key of the Engage form whose visitors are taken over.

    Attributes:
        base: the address without slashes at its end.
        account: a name that differs between accounts.
        cookie: the browser SDK's cookie.
    """

    def __init__(
        self,
        context_id: object,
        site_name: object,
        edge_url: object,
        dialect: object,
        include_utm_parameters: object,
        personalize_cookie: object,
        adopt_engage_cookie: str | None,
    ) -> None:
        if not isinstance(dialect, str) or dialect not in get_args(EdgeDialect):
            found = repr(dialect)[:100] if isinstance(dialect, str) else type(dialect).__name__
            raise SettingsError(f'found {found}, expected "content" or "cloud"', setting="dialect")
        self._words = words = _WORDS[dialect]
        self._is_content = dialect == "content"
        setting, code = words.context_id
        if is_empty(context_id) or (isinstance(context_id, str) and not context_id.strip()):
            raise SettingsError(f'"{setting}" is required.', code=code, setting="edge_context_id")
        if is_empty(site_name) or (isinstance(site_name, str) and not site_name.strip()):
            raise SettingsError('"siteName" is required.', code=words.site_name, setting="site_name")
        check_site(site_name, "site_name")
        setting, code, expected = words.url
        wrong = SettingsError(f'Incorrect value for "{setting}". Set the value to {expected}', code, "edge_url")
        try:
            self.base: str = checked_target(EDGE_URL if edge_url is None else edge_url, wrong)
        except SettingsError as error:
            raise error if error is wrong else error.spelled(lambda setting: "edge_url") from None
        self._context_id = checked_account(context_id, "edge_context_id")
        self._site_name = site_name if isinstance(site_name, str) else None
        self._include_utm_parameters = include_utm_parameters is None or not is_empty(include_utm_parameters)
        self.account: str = f"sc_{self._context_id}"
        old = [OldCookie(self.account, wins=True)] if self.account != "sc_cid" else []
        if adopt_engage_cookie is not None:
            old.append(OldCookie(f"bid_{checked_account(adopt_engage_cookie, 'adopt_engage_cookie')}"))
        self.cookie: SharedCookie = SharedCookie(
            "sc_cid",
            old=tuple(old),
            guest="sc_cid_personalize",
            old_guest=f"{self.account}_personalize",
            keeps_guest=checked_switch(personalize_cookie, "personalize_cookie"),
            bot="sc_bot",
        )
        own = {"x-sitecore-contextid": self._context_id} if self._is_content else {}
        typed = {"Content-Type": "application/json"}
        self._create_headers = {**(typed if self._is_content else {}), "X-Library-Version": words.version, **own}
        self._show_headers = {"X-Library-Version": words.query_version, **own}
        self._event_headers = {
            **typed,
            "X-Library-Version": words.version,
            "X-Client-Software-ID": words.software,
            **own,
        }

    def check(self, event: Event, name: str) -> None:
        """Raise ValidationError with the vendor's code and words, in the vendor's order."""
        self._check_site(event.point_of_sale)
        if event.kind == "identity":
            check_identity(event.data, self._words.identity, self._is_date_of_birth, self._is_email)
        elif event.kind == "event":
            check_event_data(event, name)
        if len(event.extension) > MAX_ATTRIBUTES:
            raise ValidationError(
                '"extensionData" supports maximum 50 attributes. Reduce the number of attributes.',
                code=self._words.extension,
            )

    def _check_site(self, site: str | None) -> None:
        check_site_of_call(site, ValidationError('"siteName" is required.', code=self._words.site_name), "siteName")

    @staticmethod
    def _is_date_of_birth(text: object) -> bool:
        """Return whether one of the two SDKs accepts a date. Each refuses the other's form."""
        return is_real_minute(text) or is_real_day(text)

    def _is_email(self, text: str) -> bool:
        if not is_email(text):
            return False
        return not self._is_content or (len(text) <= 320 and "." in text.rpartition("@")[2][1:-2])

    def encode(self, event: Event) -> OutgoingRequest:
        """Return the POST request of an event."""
        body = event_body(event, "", "", self._include_utm_parameters)
        given = [body.pop(name, None) for name in ("searchData", "search_data")]
        if event.kind == "page_view":
            given = [] if event.context.bot else [event.data.get("search_data")]
        # As in the SDKs an empty object counts.
        searched = next((one for one in given if one or isinstance(cast("object", one), dict | list)), None)
        if searched is not None:
            body["sc_search"] = {"data": searched, "metadata": {"ut_api_version": "1.0"}}
        if event.kind == "identity" and "dob" in body:
            body["dob"] = self._date_of_birth(body["dob"])
        body["requested_at"] = event.timestamp_text
        url = f"{self.base}/v1/events/v1.2/events?{self._parameters(event.point_of_sale)}"
        return OutgoingRequest("POST", url, self._event_headers, json.dumps(body))

    def _date_of_birth(self, text: str) -> str:
        return text[:10] if self._is_content else (text + "T00:00")[:16]

    def new_id_query(self) -> Query[IssuedId]:
        """Return the query for a new browser ID and its guest ID."""
        url = f"{self.base}/v1/events/v1.2/browser/create.json?{self._account_parameter()}client_key="
        return Query(OutgoingRequest("GET", url, self._create_headers), read_issued_id)

    def guest_query(self, browser_id: str) -> Query[str]:
        """Return the query for the guest ID."""
        path = f"v1/events/v1.2/browser/{quote(browser_id, safe='')}/show.json"
        url = f"{self.base}/{path}?{self._account_parameter()}client_key=&api_token="
        return Query(OutgoingRequest("GET", url, self._show_headers), self._read_guest_id)

    def _read_guest_id(self, response: DestinationResponse) -> str:
        guest_id = read_guest_id(response)
        if guest_id:
            return guest_id
        raise RemoteError(*self._words.guest_id)

    def personalize_query(self, request: PersonalizationRequest) -> Query[dict[str, Any] | None]:
        """Return the query for a personalisation. Raises ValidationError without a friendly ID or a site name."""
        asked = personalization_data(request.data)
        site = asked.pop("pointOfSale", None) or request.point_of_sale
        if not str(asked.get("friendlyId") or "").strip():
            raise ValidationError('"friendlyId" is required.', code=self._words.friendly_id)
        self._check_site(site)
        body = personalization_body(asked, request.browser_id)
        body |= {"clientKey": "", "pointOfSale": "", "guestRef": request.guest_id or ""}
        parameters = _personalization_parameters(request.params, asked.get("geo"), request.context)
        if parameters:
            body["params"] = parameters
        if asked.get("pageVariantIds"):
            body["variants"] = asked["pageVariantIds"]
        headers = {
            **self._show_headers,
            "Content-Type": "application/json",
            "x-sc-correlation-id": uuid4().hex,
        }
        agent = (request.context.user_agent or "").strip()
        if agent and agent.isascii() and agent.isprintable():
            headers["User-Agent"] = agent
        url = f"{self.base}/v1/personalize?{self._parameters(site)}"
        return Query(OutgoingRequest("POST", url, headers, json.dumps(body)), read_personalization)

    def _account_parameter(self) -> str:
        return "" if self._is_content else f"sitecoreContextId={quote(self._context_id, safe='')}&"

    def _parameters(self, site: str | None) -> str:
        return f"{self._account_parameter()}{urlencode({'siteId': site or self._site_name or ''}, quote_via=quote)}"


def _personalization_parameters(given: Mapping[str, Any] | None, geo: object, context: Context) -> dict[str, Any]:
    """Return the parameters of a personalisation: the app's, unflattened, with `geo` and the URL's utm parameters."""
    parameters = dict(given or {})
    if geo:
        parameters["geo"] = geo
    campaign = context.campaign_decoded_twice or context.campaign
    if campaign and not parameters.get("utm"):
        parameters["utm"] = {
            name.removeprefix("utm_"): value for name, value in campaign.items() if name.startswith("utm_")
        }
    return parameters
