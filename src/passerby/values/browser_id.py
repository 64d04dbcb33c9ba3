"""The format of browser IDs: a UUID, with or without a prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import uuid4

_uuid_form = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII).fullmatch


def is_uuid(text: object) -> bool:
    """Return whether a value is the text of a UUID in its usual form of 36 characters, in any case."""
    return isinstance(text, str) and _uuid_form(text) is not None


@dataclass(frozen=True, slots=True)
class BrowserIdFormat:
    """The format of browser IDs: a UUID, after the prefix that some systems use.

    Attributes:
        prefix: the text before the UUID.
    """

    prefix: str = ""

    @property
    def length(self) -> int:
        """The number of characters of an ID."""
        return len(self.prefix) + 36

    def generate(self) -> str:
        """Generate an ID with a UUIDv4, which does not reveal when it was generated."""
        return f"{self.prefix}{uuid4()}"

    def matches(self, text: object) -> bool:
        """Return whether a value is an ID of this format."""
        return isinstance(text, str) and text.startswith(self.prefix) and is_uuid(text[len(self.prefix) :])


PLAIN_UUID: BrowserIdFormat = BrowserIdFormat()
