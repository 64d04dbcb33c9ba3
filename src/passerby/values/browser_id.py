"""What browser IDs look like: a UUID, with or without a prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import uuid4

_uuid_form = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII).fullmatch


def is_uuid(text: object) -> bool:
    """Whether a value is the text of a UUID in its usual form of 36 characters, in any case."""
    return isinstance(text, str) and _uuid_form(text) is not None


@dataclass(frozen=True, slots=True)
class BrowserIdForm:
    """What browser IDs look like: a UUID, behind a prefix that some system's own have.

    Attributes:
        prefix: what stands before the UUID.
    """

    prefix: str = ""

    @property
    def length(self) -> int:
        """How many characters an ID has."""
        return len(self.prefix) + 36

    def make(self) -> str:
        """Make an ID of our own, with a UUIDv4, which says nothing of when it was made."""
        return f"{self.prefix}{uuid4()}"

    def fits(self, text: object) -> bool:
        """Whether something is an ID of this form."""
        return isinstance(text, str) and text.startswith(self.prefix) and is_uuid(text[len(self.prefix) :])


PLAIN_UUID: BrowserIdForm = BrowserIdForm()
