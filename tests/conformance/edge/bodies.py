"""The model's bodies: what a call sends, or why it is refused, by the arguments alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from ..body_parts import BodyParts, Page, is_filled
from ..case import JSON
from ..identity import BLANK, Identity
from ..javascript import is_truthy, to_json
from ..recorded import ANY_ERROR
from ..refusal import OWN_ERROR, Refused
from .refusal import coded

DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
LONG_ENDING = re.compile(rf"[^{BLANK}@]+@[^{BLANK}@]+\.[^{BLANK}@]{{2,}}")
LONGEST_EMAIL = 320
REQUESTED_AT = "<requestedAt>"
SPECIAL = ("channel", "currency", "language", "page", "extensionData", "searchData")


class EdgeIdentity(Identity):
    """Identities, with the codes and the checks of an SDK."""

    def __init__(self, on: Collection[str], sdk: str) -> None:
        super().__init__(on)
        self.sdk = sdk
        self.codes = {name: coded(sdk, name) for name in ("identifiers", "dob", "email", "expiryDate")}

    def _is_birthday(self, value: Any) -> bool:
        is_minute, is_day = self._is_minute(value), isinstance(value, str) and _is_day(value)
        return is_day if self.sdk == "content" else is_minute

    def _is_email(self, text: str) -> bool:
        if self.sdk == "cloud":
            return super()._is_email(text)
        return len(text) <= LONGEST_EMAIL and LONG_ENDING.fullmatch(text) is not None


class EdgeBodies(BodyParts):
    """Makes the bodies of calls, without the browser's ID, with some differences switched on."""

    def __init__(self, page: Page, on: Collection[str], sdk: str) -> None:
        super().__init__(page, on)
        self.sdk = sdk
        self._identity = EdgeIdentity(on, sdk)

    def make(self, call: str, args: Mapping[str, Any]) -> JSON:
        """The body of `call`; raises Refused."""
        if call in ("form", "botPageView"):
            return self._form(args) if call == "form" else self._bot_view(args)
        data = args.get("data")
        if call == "pageView":
            return self._view(self._data(call, data)) | ({"ext": {}} if "data" not in args else {})
        if data is None and "absent-data" not in self.on:
            raise Refused(ANY_ERROR)
        if call == "personalize":
            return self._personalize(self._data(call, data))
        return self._identity_of(self._data(call, data)) if call == "identity" else self._event(self._data(call, data))

    def _data(self, call: str, data: Any) -> JSON:
        return self._renamed(call, self._checked(self._mapping(data if data is not None else {})))

    def _common(self, data: JSON) -> JSON:
        return self._nobody() | self._where(data)

    def _nobody(self) -> JSON:
        return {"browser_id": "", "client_key": "", "pos": "", "requested_at": REQUESTED_AT}

    def _view(self, data: JSON) -> JSON:
        utm = self._utm_parameters()  # a malformed URL fails here in any case
        is_with_utm = data.get("includeUTMParameters") is None or is_truthy(data["includeUTMParameters"])
        flat = self._flattened(data)
        body = {"type": "VIEW"} | self._common(data) | (utm if is_with_utm else {}) | self._referrer(data)
        had_attributes = self._with_variant(data.get("pageVariantId"), flat)
        return body | ({"ext": flat} if flat or had_attributes else {}) | _search(data)

    def _identity_of(self, data: JSON) -> JSON:
        body = self._identity.body(data)
        flat = self._flattened(data)
        return body | self._common(data) | ({"ext": flat} if flat else {})

    def _event(self, data: JSON) -> JSON:
        flat = self._flattened(data)
        body = {name: to_json(value) for name, value in data.items() if name not in SPECIAL}
        return body | ({"ext": flat} if flat else {}) | _search(data) | self._common(data)

    def _form(self, args: Mapping[str, Any]) -> JSON:
        interaction = args.get("interactionType")
        if not isinstance(interaction, str):
            raise Refused(ANY_ERROR)
        names = ("componentInstanceId", "formId")
        ext = {name: to_json(args[name]) for name in names if args.get(name) is not None}
        return {"type": "FORM", "ext": ext | {"interactionType": interaction.upper()}} | self._nobody()

    def _bot_view(self, args: Mapping[str, Any]) -> JSON:
        data = self._mapping(args.get("data"))
        agent = data.get("userAgent")
        if not isinstance(agent, str):
            raise Refused(ANY_ERROR)
        flat: JSON = {"sourceUserAgent": agent}
        self._with_variant(None, flat)
        where = self._common({name: data[name] for name in ("page", "language") if name in data})
        body = {"type": "VIEW", "channel": "bot", "ext": flat} | self._utm_parameters()
        return body | where | {"browser_id": bot_id(agent)}

    def _personalize(self, data: JSON) -> JSON:
        friendly = data.get("friendlyId")
        if is_truthy(friendly) and not isinstance(friendly, str) and "types-checked" not in self.on:
            raise Refused(ANY_ERROR)
        if not is_filled(friendly):
            raise Refused(coded(self.sdk, "friendlyId"))
        self._check_person(data)
        body: JSON = {name: to_json(data[name]) for name in ("channel", "friendlyId") if name in data}
        body |= {"clientKey": "", "pointOfSale": "", "guestRef": ""}
        language = data.get("language")
        if language is None and self.page.infers:
            language = self.page.language
        body |= {} if language is None else {"language": to_json(language)}
        if "currency" in data:
            body["currencyCode"] = to_json(data["currency"])
        if data.get("pageVariantIds"):
            body["variants"] = to_json(data["pageVariantIds"])
        params = self.params_of(data)
        return body | ({"params": to_json(params)} if params else {}) | self._person(data)

    def params_of(self, data: JSON) -> JSON:
        """The parameters with place and campaign."""
        params = dict(self._mapping(data.get("params")))
        geo = data.get("geo")
        if geo:
            params["geo"] = geo
        query = self.page.url.partition("#")[0].partition("?")[2]
        if "utm_" in query and not is_truthy(params.get("utm")):
            params["utm"] = {name.removeprefix("utm_"): value for name, value in self._utm_parameters().items()}
        return params

    def _check_person(self, data: JSON) -> None:
        identifier = data.get("identifier")
        texts = [data.get("email"), identifier.get("id") if isinstance(identifier, dict) else None]
        if any(is_truthy(text) and not isinstance(text, str) for text in texts):
            raise Refused(OWN_ERROR if "types-checked" in self.on else ANY_ERROR)

    def _flattened(self, data: JSON) -> JSON:
        flat = self._flatten(self._mapping(data.get("extensionData")))
        if len(flat) > 50:
            raise Refused(coded(self.sdk, "extensionData"))
        return flat


def bot_id(agent: str) -> str:
    """The ID that all visits of a bot share: the start of a hash, written as a UUID."""
    return str(UUID(bytes=hashlib.sha256(agent.encode()).digest()[:16]))


def _search(data: JSON) -> JSON:
    if not is_truthy(data.get("searchData")):
        return {}
    return {"sc_search": {"data": to_json(data["searchData"]), "metadata": {"ut_api_version": "1.0"}}}


def _is_day(text: str) -> bool:
    found = DAY.fullmatch(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    try:
        date(year or 2000, month, day)
    except ValueError:
        return False
    return True
