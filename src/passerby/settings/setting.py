"""What a setting can be: its type checks a value, reads it from the environment and describes itself.

A table of settings is a dataclass whose fields are made by `setting`. The text below a field says what the setting
does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import field, fields
from typing import Any, TypeVar, cast, get_args

from ..errors import SettingsError
from ..values.app_values import has_control_characters
from ..values.callbacks import check_function

T = TypeVar("T")

_TYPE = "type"  # under which a field has it
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class SettingType:
    """The type of a setting. One of this very class is checked elsewhere, together with other settings.

    Args:
        words: describes it in the documentation.
        read: makes a value of a text from the environment; raises SettingsError.

    Attributes:
        words: describes it in the documentation.
        read: makes a value of a text from the environment; None where no text can stand for a value.
    """

    def __init__(self, words: str, read: Callable[[str], Any] | None = str) -> None:
        self.words: str = words
        self.read: Callable[[str], Any] | None = read

    def check(self, name: str, value: object) -> None:
        """Raise SettingsError if this cannot be the setting's value."""


class Choice(SettingType):
    """One of a few texts.

    Args:
        literal: the `Literal` type that has them.
        or_none: whether the setting may be None too.
    """

    def __init__(self, literal: object, *, or_none: bool = False) -> None:
        super().__init__(quoted(get_args(literal)))
        self.choices: tuple[str | None, ...] = (*get_args(literal), *([None] if or_none else ()))

    def check(self, name: str, value: object) -> None:
        if not isinstance(value, str | None) or value not in self.choices:
            expected = ", ".join(map(repr, self.choices))
            raise SettingsError(f"found {shown(value)}, expected one of {expected}", setting=name)


class ShortText(SettingType):
    """A text of at most 255 characters, or None."""

    def __init__(self) -> None:
        super().__init__("text")

    def check(self, name: str, value: object) -> None:
        if not isinstance(value, str | None):
            raise SettingsError(f"found {type(value).__name__}, expected text", setting=name)
        if value is not None and (len(value) > 255 or has_control_characters(value)):
            raise SettingsError("expected at most 255 characters, no control characters", setting=name)


class Switch(SettingType):
    """True or False."""

    def __init__(self) -> None:
        super().__init__("`True`, `False`", read_boolean)

    def check(self, name: str, value: object) -> None:
        if not isinstance(value, bool):
            raise SettingsError(f"found {shown(value)}, expected True or False", setting=name)


class Seconds(SettingType):
    """A number of seconds.

    Args:
        or_none: whether None, in the environment ``none``, stands for no limit.
    """

    def __init__(self, *, or_none: bool = False) -> None:
        super().__init__("seconds, or `None`" if or_none else "seconds", self._read)
        self._or_none = or_none

    def _read(self, text: str) -> float | None:
        return None if self._or_none and text.lower() == "none" else read_number(text)

    def check(self, name: str, value: object) -> None:
        if value is None and self._or_none:
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            expected = "a number of seconds" + (", or None for no limit" if self._or_none else "")
            raise SettingsError(f"found {shown(value)}, expected {expected}", setting=name)


class Whole(SettingType):
    """A whole number between two bounds, which are included.

    Args:
        or_none: whether the setting may be None too.
    """

    def __init__(self, least: int, most: int, *, or_none: bool = False) -> None:
        super().__init__(f"{least:,} to {most:,}", read_whole)
        self._least = least
        self._most = most
        self._or_none = or_none

    def check(self, name: str, value: object) -> None:
        if value is None and self._or_none:
            return
        if isinstance(value, bool) or not isinstance(value, int) or not self._least <= value <= self._most:
            expected = f"a whole number from {self._least:,} to {self._most:,}"
            raise SettingsError(f"found {shown(value)}, expected {expected}", setting=name)


class TextList(SettingType):
    """A collection of texts.

    Args:
        or_number: whether the setting may be a number instead, which is checked elsewhere.
    """

    def __init__(self, *, or_number: bool = False) -> None:
        super().__init__("list of texts, or a number" if or_number else "list of texts", self._read)
        self._or_number = or_number

    def _read(self, text: str) -> list[str] | int:
        return int(text) if self._or_number and text.isdecimal() else read_list(text)

    def check(self, name: str, value: object) -> None:
        if not (self._or_number and isinstance(value, int)) and not _are_texts(value):
            raise SettingsError("expected a list of texts without control characters", setting=name)


class PlainFunction(SettingType):
    """A function of the app's that is not async; see `passerby.values.callbacks`.

    Args:
        does: what it takes and gives, such as ``"takes a URL and gives a text"``.
        literal: a `Literal` type of texts that may stand instead of it. Without one None stands for no function.
    """

    def __init__(self, does: str, literal: object = None) -> None:
        self.names: tuple[str, ...] = get_args(literal)
        words = [f'"{name}"' for name in self.names]
        self._expected = ", ".join([*words, f"{'or ' if words else ''}a plain function that {does}"])
        super().__init__(", ".join(filter(None, [quoted(self.names), "function"])), str if self.names else None)

    def is_path(self, value: object) -> bool:
        """Whether a value may be the dotted path of a function, and is none of the names."""
        return isinstance(value, str) and value not in self.names

    def check(self, name: str, value: object) -> None:
        is_named = isinstance(value, str) and value in self.names
        if not (is_named or (value is None and not self.names)):
            check_function(value, name, self._expected)


def setting(default: T, kind: SettingType, *, is_secret: bool = False) -> T:
    """Make a field of a dataclass that is a table of settings.

    Args:
        default: the setting's value if none is given.
        kind: what it can be.
        is_secret: whether it is left out where all settings are shown.
    """
    made: Any = field(default=default, repr=not is_secret, metadata={_TYPE: kind})
    return cast("T", made)


def types_of(table: Any) -> Mapping[str, SettingType]:
    """Return the type of each setting of a table."""
    return {one.name: one.metadata[_TYPE] for one in fields(table)}


def quoted(texts: Collection[str]) -> str:
    """Write texts as the documentation does."""
    return ", ".join(f'`"{text}"`' for text in texts)


def shown(value: object) -> str:
    """Write a wrong value of a setting that is no secret; what may have no text by its type."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"
    is_written = type(value) in (str, int, float, bool, type(None))
    return repr(value)[:100] if is_written else type(value).__name__


def read_boolean(text: str) -> bool:
    """Read true or false from the environment."""
    if text.lower() not in _BOOLEANS:
        raise SettingsError("expected true or false")
    return _BOOLEANS[text.lower()]


def read_whole(text: str) -> int:
    """Read a whole number from the environment."""
    try:
        return int(text)
    except ValueError:
        raise SettingsError("expected a number") from None


def read_number(text: str) -> float:
    """Read a number from the environment."""
    try:
        return float(text)
    except ValueError:
        raise SettingsError("expected a number") from None


def read_list(text: str) -> list[str]:
    """Read texts from the environment, which are separated by commas."""
    return [piece.strip() for piece in text.split(",") if piece.strip()]


def _are_texts(values: object) -> bool:
    """Whether it is a collection of texts, and not one text."""
    if isinstance(values, str) or not isinstance(values, Collection):
        return False
    return all(isinstance(one, str) and not has_control_characters(one) for one in cast("Collection[object]", values))
