"""JavaScript's ways, as far as the cases need them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

DATE = "%Y-%m-%dT%H:%M:%S.%fZ"
KEPT_BY_DECODE_URI = b";/?:@&=+$,#"
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
SPECIAL = frozenset({"http", "https", "ws", "wss", "ftp"})
FORBIDDEN_IN_HOST = re.compile(r"[\x00-\x20#/<>?@\\^|%\x7f]")


class Undefined:
    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = Undefined()
MARKERS: dict[str, Any] = {
    "undefined": UNDEFINED,
    "function": UNDEFINED,
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}


class URIMalformed(Exception):
    """`decodeURI` throws."""


def decode(value: Any) -> Any:
    """Make Python values of JSON with `$js` markers.

    Undefined members are left out, undefined items of lists become None; keys that look like integers come first, as in
    every object of JavaScript.
    """
    if isinstance(value, list):
        return [None if item is UNDEFINED else item for item in map(decode, value)]
    if not isinstance(value, dict):
        return value
    if "$js" in value:
        kind = value["$js"]
        return parse_date(value["value"]) if kind == "Date" else MARKERS[kind]
    decoded = {name: decode(value[name]) for name in sorted(value, key=_rank)}
    return {name: item for name, item in decoded.items() if item is not UNDEFINED}


def parse_date(text: str) -> datetime:
    return datetime.strptime(text, DATE).replace(tzinfo=UTC)


def write_date(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def encode(value: Any) -> Any:
    """Undo `decode`, for values to be handed to Node."""
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list):
        return [encode(item) for item in value]
    if isinstance(value, datetime):
        return {"$js": "Date", "value": write_date(value)}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$js": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return {"$js": "undefined"} if value is UNDEFINED else value


def is_truthy(value: Any) -> bool:
    """Whether JavaScript takes a value for true: every object is, an empty list too; NaN is not."""
    if isinstance(value, list | dict | datetime):
        return True
    return bool(value) and not (isinstance(value, float) and math.isnan(value))


def to_json(value: Any) -> Any:
    """What `JSON.stringify` writes, parsed again."""
    if isinstance(value, dict):
        return {name: to_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, datetime):
        return write_date(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def well_formed(value: Any) -> Any:
    """Replace lone surrogates, as `String.prototype.toWellFormed` does, in keys and values."""
    if isinstance(value, dict):
        return {well_formed(name): well_formed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [well_formed(item) for item in value]
    return LONE_SURROGATE.sub("\ufffd", value) if isinstance(value, str) else value


def number_text(number: float) -> str:
    return str(int(number)) if float(number).is_integer() else f"{Decimal(repr(number)):f}"


def decode_uri(text: str, *, lenient: bool = False) -> str:
    """Do as `decodeURI` does; a malformed escape raises URIMalformed, or is left as it stands."""
    decoded: list[str] = []
    position = 0
    while position < len(text):
        escape = _escape_at(text, position)
        if text[position] != "%":
            decoded.append(text[position])
            position += 1
        elif escape is not None:
            decoded.append(escape[0])
            position = escape[1]
        elif lenient:
            decoded.append("%")
            position += 1
        else:
            raise URIMalformed
    return "".join(decoded)


def _escape_at(text: str, start: int) -> tuple[str, int] | None:
    """The character an escape sequence stands for, and where it ends."""
    first = _byte_at(text, start)
    if first is None:
        return None
    if first < 0x80:
        return (text[start : start + 3] if first in KEPT_BY_DECODE_URI else chr(first)), start + 3
    length = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
    found = [_byte_at(text, start + 3 * index) for index in range(length)]
    try:
        return bytes(byte for byte in found if byte is not None).decode(), start + 3 * length
    except UnicodeDecodeError:
        return None


def _byte_at(text: str, position: int) -> int | None:
    digits = text[position + 1 : position + 3]
    is_escape = text[position : position + 1] == "%" and re.fullmatch("[0-9A-Fa-f]{2}", digits)
    return int(digits, 16) if is_escape else None


def form_pairs(query: str) -> list[tuple[str, str]]:
    """Do as `URLSearchParams` does."""
    return parse_qsl(query, keep_blank_values=True, errors="replace")


def trim_url(url: str) -> str:
    """What the URL parser removes first: blanks and control characters around, tabs and line breaks anywhere."""
    return re.sub(r"[\t\r\n]", "", re.sub(r"^[\x00-\x20]+|[\x00-\x20]+$", "", url))


def is_url(url: str, *, has_base: bool = False) -> bool:
    """Whether `new URL(url)` accepts it, approximately; with `has_base` relative to an http page."""
    url = trim_url(url)
    scheme = SCHEME.match(url)
    if scheme is None:
        is_host_named = has_base and re.match(r"[/\\]{2}", url)
        return _is_authority(url[2:]) if is_host_named else has_base
    rest = url[scheme.end() :]
    if scheme[1].lower() not in SPECIAL:
        return True
    if has_base and scheme[1].lower() == "http" and not re.match(r"[/\\]{2}", rest):
        return True
    return _is_authority(rest.lstrip("/\\"))


def _is_authority(rest: str) -> bool:
    authority = re.split(r"[/\\?#]", rest.lstrip("/\\"), maxsplit=1)[0]
    host, _, port = authority.rpartition("@")[2].rpartition(":")
    if authority.endswith("]") or not (host or port):
        host, port = authority.rpartition("@")[2], ""
    elif not host:
        host, port = (port, "") if ":" not in authority else ("", port)
    if port and not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        return False
    if host.startswith("["):
        return re.fullmatch(r"\[[0-9A-Fa-f:.]+\]", host) is not None
    return bool(host) and not FORBIDDEN_IN_HOST.search(host)


def _rank(name: str) -> tuple[bool, int]:
    is_index = re.fullmatch("0|[1-9][0-9]{0,9}", name) is not None and int(name) < 2**32 - 1
    return (not is_index, int(name) if is_index else 0)
