"""The reference's bodies: what a call sends, or why it is refused, by the arguments alone."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from .body_parts import BodyParts, Page, is_filled
from .case import JSON
from .identity import Identity
from .javascript import is_truthy, to_json
from .recorded import ANY_ERROR
from .refusal import OWN_ERROR, Refused, coded

SNAKE_CASE = {
    "pageView": {"point_of_sale": "pointOfSale", "page_variant_id": "pageVariantId"},
    "event": {"point_of_sale": "pointOfSale"},
    "identity": {
        "point_of_sale": "pointOfSale", "first_name": "firstName", "last_name": "lastName", "postal_code": "postalCode",
    },
    "personalize": {"point_of_sale": "pointOfSale", "friendly_id": "friendlyId"},
}  # fmt: skip
OWN_FIELDS = {"type", "clientkey", "browserid", "pos", "requestedat", "ext"}


class Bodies(BodyParts):
    """Makes the bodies of calls, with some differences switched on."""

    snake_case = SNAKE_CASE

    def __init__(self, page: Page, on: Collection[str]) -> None:
        super().__init__(page, on)
        self._identity = Identity(on)

    def make(self, call: str, args: Mapping[str, Any]) -> JSON:
        """The body of `call` without its browser ID; raises Refused."""
        if call == "personalize":
            return self._personalize(args)
        if call == "event" and "event-type-required" in self.on and not is_filled(args.get("type")):
            raise Refused(OWN_ERROR)
        data = self._data(call, args.get("eventData"))
        extension = self._checked(self._mapping(args.get("extensionData")))
        body = self._view(data) if call == "pageView" else self._event(data, args) if call == "event" else {}
        common: JSON = {"browser_id": "", "client_key": self.page.client_key, "pos": self._point_of_sale(data)}
        common |= self._where(data)
        if call == "event" and "own-fields-kept" in self.on and is_of_another_event(data, args.get("type")):
            raise Refused(OWN_ERROR)
        if call == "identity":
            body |= self._identity.body(data)
        self._add_extension(call, body, data, extension)
        return body | common

    def _data(self, call: str, data: Any) -> JSON:
        if data is None:
            if "absent-data" not in self.on:
                raise Refused(ANY_ERROR)
            return {}
        return self._renamed(call, self._checked(self._mapping(data)))

    def _point_of_sale(self, data: JSON) -> Any:
        chosen = data.get("pointOfSale")
        chosen = chosen if is_truthy(chosen) else self.page.point_of_sale
        if is_truthy(chosen) and not isinstance(chosen, str):
            raise Refused(ANY_ERROR)
        if not is_filled(chosen):
            raise Refused(coded("MV-0003"))
        return chosen

    def _view(self, data: JSON) -> JSON:
        utm = self._utm_parameters()  # a malformed URL fails here in any case
        return {"type": "VIEW"} | (utm if self.page.include_utm_parameters else {}) | self._referrer(data)

    def _event(self, data: JSON, args: Mapping[str, Any]) -> JSON:
        named = ("channel", "currency", "language", "page", "pointOfSale")
        body: JSON = {"type": args["type"]} if "type" in args else {}
        return body | {name: to_json(value) for name, value in data.items() if name not in named}

    def _add_extension(self, call: str, body: JSON, data: JSON, extension: JSON) -> None:
        flat = self._flatten(extension)
        if len(flat) > 50:
            raise Refused(coded("IV-0005"))
        had_attributes = bool(flat)
        if call == "pageView":
            had_attributes = self._with_variant(data.get("pageVariantId"), flat)
        if flat or had_attributes:
            body["ext"] = flat

    def _personalize(self, args: Mapping[str, Any]) -> JSON:
        data = args.get("personalizeData")
        if data is None and "absent-data" not in self.on:
            raise Refused(ANY_ERROR)
        data = self._data("personalize", data)
        friendly = data.get("friendlyId")
        if is_truthy(friendly) and not isinstance(friendly, str) and "types-checked" not in self.on:
            raise Refused(ANY_ERROR)
        if not is_filled(friendly):
            raise Refused(coded("MV-0008"))
        body: JSON = {name: to_json(data[name]) for name in ("channel", "friendlyId") if name in data}
        body |= {"clientKey": self.page.client_key, "pointOfSale": self._point_of_sale(data)}
        language = data.get("language")
        if language is None and self.page.infers:
            language = self.page.language
        if language is not None:
            body["language"] = to_json(language)
        if "currency" in data:
            body["currencyCode"] = to_json(data["currency"])
        params = self._mapping(data.get("params"))
        if params:
            body["params"] = self._flatten(params)
        return body | self._person(data)


def is_of_another_event(data: JSON, kind: Any) -> bool:
    spelt = {re.sub(r"[\W_]", "", name).lower() for name in data}
    return bool(OWN_FIELDS & spelt) or (isinstance(kind, str) and re.sub(r"[\W_]", "", kind).lower() == "identity")
