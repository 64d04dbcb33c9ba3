"""The form of the Engage SDK: requests to the Stream API, with a client key and a point of sale.

Sources of the facts: the requests of `@sitecore/engage` 1.4.3 as observed on the wire, and Sitecore's CDP developer
documentation.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ...errors import SettingsError, ValidationError
from ...events.attributes import check_attribute_count
from ...events.event import Event
from ...values import json
from .. import IssuedId, OldCookie, OutgoingRequest, PersonalizationRequest, Query, SharedCookie
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
    is_empty,
    is_real_day,
    is_real_minute,
)

PROTOCOL_VERSION = "1.4.3"  # the Engage SDK whose requests these are
_CODES = IdentityCodes("MV-0004", dob="IV-0002", expiry_date="IV-0004", email="IV-0003")


class EngageForm:
    """Encodes requests as the Engage SDK does.

    Args:
        client_key: see `Sitecore`, as for the others.
        target_url: the Stream API's address.
        point_of_sale: the default point of sale, or a callable.
        include_utm_parameters: whether page views carry the URL's utm parameters.
        requested_at: whether events contain the time at which they happened.
        adopt_edge_cookie: the context ID of the edge form whose visitors are taken over.

    Attributes:
        base: the address without slashes at its end.
        account: a name that differs between accounts.
        cookie: the browser SDK's cookie.
    """

    def __init__(
        self,
        client_key: object,
        target_url: object,
        point_of_sale: object,
        include_utm_parameters: object,
        requested_at: object,
        adopt_edge_cookie: str | None,
    ) -> None:
        if is_empty(client_key):
            raise SettingsError('"clientKey" is required.', code="MV-0001", setting="client_key")
        if is_empty(target_url):
            raise SettingsError('"targetURL" is required.', code="MV-0002", setting="target_url")
        if isinstance(point_of_sale, str) and point_of_sale and not point_of_sale.strip():
            raise SettingsError('"pointOfSale" cannot be empty.', code="MV-0009", setting="point_of_sale")
        check_site(point_of_sale, "point_of_sale")
        self.base: str = checked_target(
            target_url,
            SettingsError(
                'Incorrect value for "targetURL". Set the value to a valid URL string.',
                code="IV-0001",
                setting="target_url",
            ),
        )
        self._client_key = checked_account(client_key, "client_key")
        self._include_utm_parameters = include_utm_parameters is None or not is_empty(include_utm_parameters)
        self._requested_at = checked_switch(requested_at, "requested_at")
        self.account: str = f"bid_{self._client_key}"
        self.cookie: SharedCookie = SharedCookie(self.account)
        if adopt_edge_cookie is not None:
            edge = f"sc_{checked_account(adopt_edge_cookie, 'adopt_edge_cookie')}"
            self.cookie = SharedCookie(
                self.account,
                old=(OldCookie(edge), OldCookie("sc_cid")),
                guest="sc_cid_personalize",
                old_guest=f"{edge}_personalize",
            )
        self._get_headers = {"X-Library-Version": PROTOCOL_VERSION}
        self._post_headers = {"Content-Type": "application/json", **self._get_headers}

    def check(self, event: Event, name: str) -> None:
        """Raise ValidationError with the vendor's code and words, in the vendor's order."""
        _check_point_of_sale(event.point_of_sale)
        if event.kind == "identity":
            check_identity(event.data, _CODES, is_real_minute)
        elif event.kind == "event":
            check_event_data(event, name)
        if event.extension:
            check_attribute_count(event.extension)

    def encode(self, event: Event) -> OutgoingRequest:
        """Return the POST request of an event."""
        body = event_body(event, self._client_key, event.point_of_sale, self._include_utm_parameters)
        if event.kind == "identity" and isinstance(body.get("dob"), str) and is_real_day(body["dob"]):
            body["dob"] += "T00:00"  # recorded in the edge form, which takes both
        if self._requested_at:
            body["requested_at"] = event.timestamp_text
        return OutgoingRequest("POST", f"{self.base}/v1.2/events", self._post_headers, json.dumps(body))

    def new_id_query(self) -> Query[IssuedId]:
        """Return the query for a new browser ID."""
        url = f"{self.base}/v1.2/browser/create.json?client_key={quote(self._client_key)}&message={{}}"
        return Query(OutgoingRequest("GET", url, self._get_headers), read_issued_id)

    def guest_query(self, browser_id: str) -> Query[str]:
        """Return the query for the guest ID."""
        key = quote(self._client_key)
        url = f"{self.base}/v1.2/browser/{quote(browser_id, safe='')}/show.json?client_key={key}&api_token={key}"
        return Query(OutgoingRequest("GET", url, self._get_headers), read_guest_id)

    def personalize_query(self, request: PersonalizationRequest) -> Query[dict[str, Any] | None]:
        """Return the query for a personalisation. Raises ValidationError MV-0008 or MV-0003."""
        asked = personalization_data(request.data)
        if not str(asked.get("friendlyId") or "").strip():
            raise ValidationError('"friendlyId" is required.', code="MV-0008")
        point_of_sale = asked.pop("pointOfSale", None) or request.point_of_sale
        _check_point_of_sale(point_of_sale)
        body = personalization_body(asked, request.browser_id)
        if "params" in asked:
            body["params"] = asked["params"]
        body |= {"clientKey": self._client_key, "pointOfSale": point_of_sale}
        call = OutgoingRequest("POST", f"{self.base}/v2/callFlows", self._post_headers, json.dumps(body))
        return Query(call, read_personalization)


def _check_point_of_sale(value: str | None) -> None:
    check_site_of_call(value, ValidationError('"pointOfSale" is required.', code="MV-0003"), "pointOfSale")
