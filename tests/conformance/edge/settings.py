"""The model's settings: which are refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..case import JSON
from ..javascript import is_truthy
from ..recorded import ANY_ERROR
from ..refusal import OWN_ERROR, Refused
from ..settings import TOKEN, check_address, check_cookie_settings
from .case import EdgeCase
from .refusal import coded

LONGEST_ID = 128


def check_settings(case: EdgeCase, chosen: JSON, on: Collection[str]) -> None:
    """Raise Refused as the SDK does, in its order."""
    if case.settings is None or (case.sdk == "content" and "config" not in case.settings):
        raise Refused(ANY_ERROR)
    for name in ("contextId", "siteName"):
        if not _is_filled(chosen.get(name)):
            raise Refused(coded(case.sdk, name))
    if "edgeUrl" in chosen:
        _check_url(case, chosen["edgeUrl"], on)
    if "context-id-checked" in on and not _is_account(chosen["contextId"]):
        raise Refused(OWN_ERROR)
    check_cookie_settings(chosen, on)


def _is_filled(value: Any) -> bool:
    if is_truthy(value) and not isinstance(value, str):
        raise Refused(ANY_ERROR)
    return is_truthy(value) and bool(value.strip())


def _is_account(value: str) -> bool:
    return len(value) <= LONGEST_ID and TOKEN.fullmatch(value) is not None


def _check_url(case: EdgeCase, value: Any, on: Collection[str]) -> None:
    error = coded(case.sdk, "edgeUrl")
    if not isinstance(value, str):
        raise Refused(error)
    check_address(value.strip() if case.sdk == "content" else value, on, error)
