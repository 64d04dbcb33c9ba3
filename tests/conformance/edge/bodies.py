"""The model's bodies: what a call sends, or why it is refused, by the arguments alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from ..bodies import is_of_another_event
from ..body_parts import BodyParts, Page, is_filled
from ..case import JSON
from ..identity import BLANK, Identity
from ..javascript import is_truthy, to_json, well_formed
from ..recorded import ANY_ERROR
from ..refusal import OWN_ERROR, Refused
from .refusal import coded

DAY = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
LONG_ENDING = re.compile(rf"[^{BLANK}@]+@[^{BLANK}@]+\.[^{BLANK}@]{{2,}}")
LONGEST_EMAIL = 320
REQUESTED_AT = "<requestedAt>"
SNAKE_CASE = {
    "pageView": {
        "page_variant_id": "pageVariantId", "point_of_sale": "pointOfSale", "extension_data": "extensionData",
        "search_data": "searchData", "include_utm_parameters": "includeUTMParameters",
    },
    "identity": {
        "first_name": "firstName", "last_name": "lastName", "postal_code": "postalCode", "point_of_sale": "pointOfSale",
        "extension_data": "extensionData",
    },
    "event": {"point_of_sale": "pointOfSale", "extension_data": "extensionData", "search_data": "searchData"},
    "personalize": {
        "friendly_id": "friendlyId", "page_variant_ids": "pageVariantIds", "point_of_sale": "pointOfSale",
    },
    "botPageView": {"user_agent": "userAgent"},
}  # fmt: skip
SPECIAL = ("channel", "currency", "language", "page", "extensionData", "searchData")


class EdgeIdentity(Identity):
    """Identities, with the codes and the checks of an SDK."""

    def __init__(self, on: Collection[str], sdk: str) -> None:
        super().__init__(on)
        self.sdk = sdk
        self.codes = {name: coded(sdk, name) for name in ("identifiers", "dob", "email", "expiryDate")}

    def _is_birthday(self, value: Any) -> bool:
        is_minute, is_day = self._is_minute(value), isinstance(value, str) and _is_day(value)
        if "either-birthday" in self.on:
            return is_minute or is_day
        return is_day if self.sdk == "content" else is_minute

    def _minutes(self, name: str, value: Any) -> Any:
        written = super()._minutes(name, value)
        if name == "dob" and "either-birthday" in self.on and isinstance(written, str):
            return written[:10] if self.sdk == "content" else f"{written}T00:00"[:16]
        return written

    def _is_email(self, text: str) -> bool:
        if self.sdk == "cloud":
            return super()._is_email(text)
        return len(text) <= LONGEST_EMAIL and LONG_ENDING.fullmatch(text) is not None


class EdgeBodies(BodyParts):
    """Makes the bodies of calls, without the browser's ID, with some differences switched on."""

    snake_case = SNAKE_CASE

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
            is_bare = "data" not in args and "no-empty-ext" not in self.on
            view = self._view(self._data(call, data))
            if data is None and "data" in args and "absent-data" not in self.on:
                view.pop("ext", None)
            return view | ({"ext": {}} if is_bare else {})
        if data is None and "absent-data" not in self.on:
            raise Refused(ANY_ERROR)
        if call == "personalize":
            return self._personalize(self._data(call, data))
        return self._identity_of(self._data(call, data)) if call == "identity" else self._event(self._data(call, data))

    def read(self, call: str, args: Mapping[str, Any]) -> None:
        """Raise Refused for what cannot be read as the data of a call, whatever Sitecore says of it."""
        if call == "form":
            self._form(args)
            return
        data = self._data(call, args.get("data"))
        if call == "event" and "event-type-required" in self.on and not is_filled(data.get("type")):
            raise Refused(OWN_ERROR)
        self._mapping(data.get("extensionData"))

    def _data(self, call: str, data: Any) -> JSON:
        mapping = self._renamed(call, self._mapping(data if data is not None else {}))
        beside = ("extensionData", "params") if call != "event" else ("extensionData", "type")
        apart = {name: mapping[name] for name in beside if name in mapping}
        rest = self._checked({name: value for name, value in mapping.items() if name not in apart})
        return rest | {name: self._checked_apart(value) for name, value in apart.items()}

    def _checked_apart(self, value: Any) -> Any:
        if isinstance(value, dict):
            return self._checked(value)
        return well_formed(value) if "text-well-formed" in self.on else value

    def _common(self, data: JSON) -> JSON:
        return self._empty_fields() | self._where(data)

    def _empty_fields(self) -> JSON:
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
        kind = data.get("type")
        if "event-type-required" in self.on and not is_filled(kind):
            raise Refused(OWN_ERROR)
        others = {name: value for name, value in data.items() if name != "type"}
        if "own-fields-kept" in self.on and is_of_another_event(others, kind):
            raise Refused(OWN_ERROR)
        flat = self._flattened(data)
        special = (*SPECIAL, "pointOfSale") if "site-of-a-call" in self.on else SPECIAL
        body = {name: to_json(value) for name, value in data.items() if name not in special}
        return body | ({"ext": flat} if flat else {}) | _search(data) | self._common(data)

    def _form(self, args: Mapping[str, Any]) -> JSON:
        interaction, instance = args.get("interactionType"), args.get("componentInstanceId")
        if "form-checked" in self.on:
            named = [args.get("formId"), interaction, *([] if instance is None else [instance])]
            if not all(map(is_filled, named)):
                raise Refused(OWN_ERROR)
        if not isinstance(interaction, str):
            raise Refused(ANY_ERROR)
        names = ("componentInstanceId", "formId")
        ext = {name: to_json(args[name]) for name in names if args.get(name) is not None}
        is_with_language = self.page.infers and self.page.language and "form-as-on-a-server" not in self.on
        language: JSON = {"language": self.page.language} if is_with_language else {}
        return {"type": "FORM", "ext": ext | {"interactionType": interaction.upper()}} | self._empty_fields() | language

    def _bot_view(self, args: Mapping[str, Any]) -> JSON:
        data = self._data("botPageView", args.get("data"))
        agent = data.get("userAgent")
        if not isinstance(agent, str):
            raise Refused(ANY_ERROR)
        return self.bot_view({name: data[name] for name in ("page", "language") if name in data}, agent)

    def bot_view(self, data: JSON, agent: str) -> JSON:
        """The page view of a bot, which sends only page, language and a variant."""
        flat: JSON = {"sourceUserAgent": agent}
        self._with_variant(data.get("pageVariantId"), flat)
        where = self._common({name: data[name] for name in ("page", "language") if name in data})
        body = {"type": "VIEW", "channel": "bot", "ext": flat} | self._utm_parameters()
        return body | where | {"browser_id": bot_id(agent)}

    def view_of_bot(self, args: Mapping[str, Any], agent: str) -> JSON:
        """The page view of a bot that is tracked like a person's; raises Refused for what is wrong in it."""
        data = self._data("pageView", args.get("data"))
        view = self._view(data)
        bot = self.bot_view(data, agent)
        return {name: value for name, value in bot.items() if name in view or not name.startswith("utm_")}

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
        if not is_truthy(params.get("utm")) and self._has_utm():
            params["utm"] = {name.removeprefix("utm_"): value for name, value in self._utm_parameters().items()}
        return params

    def _has_utm(self) -> bool:
        if "utm-of-any-case" in self.on:
            return bool(self._utm_parameters())
        return "utm_" in self.page.url.partition("#")[0].partition("?")[2]

    def _identifies(self, value: Any) -> bool:
        return super()._identifies(value) or ("numbers-are-ids" in self.on and type(value) is int)

    def _check_person(self, data: JSON) -> None:
        identifier = data.get("identifier")
        texts = [data.get("email"), identifier.get("id") if isinstance(identifier, dict) else None]
        if "numbers-are-ids" not in self.on and any(is_truthy(text) and not isinstance(text, str) for text in texts):
            raise Refused(ANY_ERROR)

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
