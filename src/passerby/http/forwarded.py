"""Parses the header `Forwarded` (RFC 7239)."""

from __future__ import annotations

import re

from .request_info import MAX_HEADER

# More lenient than the RFC in one point: many proxies write addresses with colons without quotes.
_pair = re.compile(
    r"""[ \t]*(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^ \t;,"]*)))?[ \t]*([;,]|\Z)""", re.DOTALL
).match


def read_forwarded(header: str) -> list[dict[str, str]]:
    """Return the elements of the header, each with its parameters by lower-case name, the visitor's first.

    A header that is malformed anywhere has none: a visitor could write half of a quoted text, and so hide what a proxy
    adds to it.
    """
    if not header or len(header) > MAX_HEADER:
        return []
    elements: list[dict[str, str]] = [{}]
    at = 0
    while at < len(header):
        found = _pair(header, at)
        if found is None:
            return []
        name, quoted, plain, separator = found.groups()
        if name is not None:
            value = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            elements[-1].setdefault(name.lower(), value)
        if separator == ",":
            elements.append({})
        at = found.end()
    return [element for element in elements if element]
