"""The format of browser IDs: a UUID, with or without a prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple
from uuid import UUID, uuid4

_uuid_form = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII).fullmatch


def is_uuid(text: object) -> bool:
    """Return whether a value is the text of a UUID in its usual form of 36 characters, in any case."""
    return isinstance(text, str) and _uuid_form(text) is not None


class IssuedId(NamedTuple):
    """A browser ID as a service issues it.

    Attributes:
        browser_id: the browser ID.
        guest_id: the ID of the guest to whom the browser belongs, if the service gives one.
    """

    browser_id: str
    guest_id: str | None = None

    def __repr__(self) -> str:
        return "<IssuedId>"  # it is about a person

    def as_text(self) -> str:
        """Return both IDs in one text, which `read` reads."""
        return self.browser_id if self.guest_id is None else f"{self.browser_id} {self.guest_id}"

    @classmethod
    def read(cls, text: str) -> IssuedId:
        """Return the IDs of a text of `as_text`."""
        browser_id, _, guest_id = text.partition(" ")
        return cls(browser_id, guest_id or None)


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

    def derive(self, text: str) -> str:
        """Return the ID that a text always gives: the first 16 bytes of its SHA-256, written as a UUID."""
        return f"{self.prefix}{UUID(bytes=sha256(text.encode(errors='replace')).digest()[:16])}"

    def matches(self, text: object) -> bool:
        """Return whether a value is an ID of this format."""
        return isinstance(text, str) and text.startswith(self.prefix) and is_uuid(text[len(self.prefix) :])


PLAIN_UUID: BrowserIdFormat = BrowserIdFormat()
