"""Functions of the app in settings. They must be plain functions, because sync requests call them too."""

from __future__ import annotations

from contextlib import suppress
from functools import partial, partialmethod
from inspect import getattr_static, isasyncgenfunction, isawaitable, iscoroutinefunction, isgeneratorfunction
from typing import Any, cast

from ..errors import SettingsError

_USUAL = frozenset({bool, str, dict, type(None)})


def check_function(value: object, setting: str, expected: str) -> None:
    """Raise SettingsError unless a value is a plain function. An async function is not.

    Args:
        value: the value of the setting.
        setting: the name of the setting.
        expected: what the message expects, such as ``"a plain function that takes a user and returns a dict"``.
    """
    if not callable(value):
        raise SettingsError(f"expected {expected}, found {type(value).__name__}", setting=setting)
    if _is_async_or_generator(value):
        raise SettingsError(f"expected {expected}, found an async function or a generator", setting=setting)


def discard_awaitable(answer: object) -> bool:
    """Return whether a plain function returned an awaitable. The awaitable is closed, so that Python does not warn."""
    if type(answer) in _USUAL or not isawaitable(answer):
        return False
    for name in ("close", "cancel"):  # of a coroutine, of a future
        end = getattr(answer, name, None)
        if callable(end):
            with suppress(Exception):
                end()
            break
    return True


def _is_async_or_generator(function: Any) -> bool:
    """Return whether calling a function only creates a coroutine or a generator."""
    while isinstance(function, partial):
        function = function.func
    call: Any = getattr_static(function.__class__, "__call__", None)
    while isinstance(call, partial | partialmethod):
        call = cast("Any", call).func
    kinds = (iscoroutinefunction, isasyncgenfunction, isgeneratorfunction)
    return any(is_kind(one) for one in (function, call) for is_kind in kinds)
