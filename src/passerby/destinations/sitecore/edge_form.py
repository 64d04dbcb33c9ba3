"""The form of the Cloud SDK and the Content SDK: requests to the edge proxy, with a context ID and a site name.

Sources of the facts: the requests of `@sitecore-cloudsdk/*` 0.6.1 and of `@sitecore-content-sdk/*` 2.1 as observed on
the wire, and Sitecore's documentation. Both send the same bodies; they differ in headers, codes and a few checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import quote, urlencode
from uuid import uuid4

from ...errors import SettingsError, ValidationError
from ...events.event import Context, Event
from ...values import json
from .. import IssuedId, OldCookie, OutgoingRequest, PersonalizationRequest, Query, SharedCookie
from ..target import checked_switch, checked_target
from .answers import read_guest_id, read_issued_id, read_personalization
from .bodies import event_body, personalization_body, personalization_data
from .checks import (
    MAX_ATTRIBUTES,
    check_event_data,
    check_identifiers,
    check_providers,
    check_site,
    checked_account,
    is_email,
    is_given,
    is_real_day,
    is_real_minute,
)

EDGE_URL = "https://edge-platform.sitecorecloud.io"  # the vendor's default

EdgeDialect = Literal["content", "cloud"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Words:
    """What differs between the two SDKs: the names of settings, the codes, and the versions in headers."""

    context_id: tuple[str, str]  # setting, code
    site_name: str
    url: tuple[str, str, str]  # setting, code, the end of the message
    identifiers: str
    friendly_id: str
    dob: str
    email: str
    expiry_date: str
    extension: str
    software: str
    version: str
    query_version: str


_WORDS = {
    "cloud": _Words(
        context_id=("sitecoreEdgeContextId", "MV-0001"),
        site_name="MV-0002",
        url=("sitecoreEdgeUrl", "IV-0001", "a valid URL string."),
        identifiers="MV-0003",
        friendly_id="MV-0004",
        dob="IV-0002",
        email="IV-0003",
        expiry_date="IV-0004",
        extension="IV-0005",
        software="@sitecore-cloudsdk/events 0.6.1",
        version="0.6.1",
        query_version="0.6.1",
    ),
    "content": _Words(
        context_id=("contextId", "MV-001"),
        site_name="MV-002",
        url=("edgeUrl", "IV-001", "a valid URL."),
        identifiers="MV-003",
        friendly_id="MV-004",
        dob="IV-003",
        email="IV-004",
        expiry_date="IV-005",
        extension="IV-006",
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
        if dialect not in get_args(EdgeDialect):
            raise SettingsError('expected "content" or "cloud"', setting="dialect")
        self._words = words = _WORDS[str(dialect)]
        self._is_content = dialect == "content"
        setting, code = words.context_id
        if not context_id or (isinstance(context_id, str) and not context_id.strip()):
            raise SettingsError(f'"{setting}" is required.', code=code, setting="edge_context_id")
        if site_name is None or (isinstance(site_name, str) and not site_name.strip()):
            raise SettingsError('"siteName" is required.', code=words.site_name, setting="site_name")
        check_site(site_name, "site_name")
        setting, code, expected = words.url
        self.base: str = checked_target(
            EDGE_URL if edge_url is None else edge_url,
            SettingsError(
                f'Incorrect value for "{setting}". Set the value to {expected}', code=code, setting="edge_url"
            ),
        )
        self._context_id = checked_account(context_id, "edge_context_id")
        self._site_name = site_name if isinstance(site_name, str) else None
        self._include_utm_parameters = include_utm_parameters is None or bool(include_utm_parameters)
        self.account: str = f"sc_{self._context_id}"
        old = [OldCookie(self.account, wins=True)]
        if adopt_engage_cookie is not None:
            old.append(OldCookie(f"bid_{checked_account(adopt_engage_cookie, 'adopt_engage_cookie')}"))
        keeps_guest = checked_switch(personalize_cookie, "personalize_cookie")
        self.cookie: SharedCookie = SharedCookie(
            "sc_cid",
            old=tuple(old),
            guest="sc_cid_personalize" if keeps_guest else None,
            old_guest=f"{self.account}_personalize" if keeps_guest else None,
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
        if not is_given(event.point_of_sale):
            raise ValidationError('"siteName" is required.', code=self._words.site_name)
        if event.kind == "identity":
            self._check_identity(event.data)
        elif event.kind == "event":
            check_event_data(event, name)
        if len(event.extension) > MAX_ATTRIBUTES:
            raise ValidationError(
                '"extensionData" supports maximum 50 attributes. Reduce the number of attributes.',
                code=self._words.extension,
            )

    def _check_identity(self, data: dict[str, Any]) -> None:
        words = self._words
        identifiers = check_identifiers(data, words.identifiers)
        # Each of the two SDKs accepts one of these forms and refuses the other's.
        if "dob" in data and not (is_real_minute(data["dob"]) or is_real_day(data["dob"])):
            raise ValidationError('Incorrect value for "dob". Format the value according to ISO 8601.', code=words.dob)
        for identifier in identifiers:
            if identifier.get("expiry_date") not in (None, "") and not is_real_minute(identifier["expiry_date"]):
                raise ValidationError(
                    'Incorrect value for "expiryDate". Format the value according to ISO 8601.', code=words.expiry_date
                )
        email = data.get("email")
        if email is not None and email != "" and not (isinstance(email, str) and self._is_email(email)):
            raise ValidationError(
                'Incorrect value for "email". Set the value to a valid email address.', code=words.email
            )
        check_providers(identifiers)

    def _is_email(self, text: str) -> bool:
        if not is_email(text):
            return False
        return not self._is_content or (len(text) <= 320 and len(text) - text.rindex(".") > 2)

    def encode(self, event: Event) -> OutgoingRequest:
        """Return the POST request of an event."""
        body = event_body(event, "", "", self._include_utm_parameters)
        searched = body.pop("searchData", None) or body.pop("search_data", None)
        if event.kind == "page_view":
            searched = event.data.get("search_data")
        if searched:
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
        return Query(OutgoingRequest("GET", url, self._show_headers), read_guest_id)

    def personalize_query(self, request: PersonalizationRequest) -> Query[dict[str, Any] | None]:
        """Return the query for a personalisation. Raises ValidationError without a friendly ID or a site name."""
        asked = personalization_data(request.data)
        site = asked.pop("pointOfSale", None) or request.point_of_sale
        if not str(asked.get("friendlyId") or "").strip():
            raise ValidationError('"friendlyId" is required.', code=self._words.friendly_id)
        if not is_given(site):
            raise ValidationError('"siteName" is required.', code=self._words.site_name)
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
        agent = request.context.user_agent
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
