"""The model's settings: which are refused."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..case import JSON
from ..javascript import is_truthy, is_url
from ..recorded import ANY_ERROR
from ..refusal import Refused
from .case import EdgeCase
from .refusal import coded


def check_settings(case: EdgeCase, chosen: JSON, on: Collection[str]) -> None:
    """Raise Refused as the SDK does, in its order."""
    if case.settings is None or (case.sdk == "content" and "config" not in case.settings):
        raise Refused(ANY_ERROR)
    for name in ("contextId", "siteName"):
        if not _is_filled(chosen.get(name)):
            raise Refused(coded(case.sdk, name))
    if "edgeUrl" in chosen and not _is_address(chosen["edgeUrl"]):
        raise Refused(coded(case.sdk, "edgeUrl"))


def _is_filled(value: Any) -> bool:
    if is_truthy(value) and not isinstance(value, str):
        raise Refused(ANY_ERROR)
    return is_truthy(value) and bool(value.strip())


def _is_address(value: Any) -> bool:
    text = str(value).strip()
    return isinstance(value, str) and (text.startswith(("{MOCK}", "{CLOSED}")) or is_url(text))
