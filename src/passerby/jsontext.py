"""The one door to JSON text: the standard library, or orjson where it is installed, with the same results.

Both write compact UTF-8 and keep the order of keys. Callers pass only values that `passerby.attributes.plain` made:
str, int within 64 bits, finite float, bool, None, list and dict with text keys. For these the two agree.
"""

import json
from typing import Any

try:
    import orjson
except ImportError:
    orjson = None  # type: ignore[assignment, unused-ignore]


def dumps(value: Any) -> bytes:
    """Write a plain value as JSON text in UTF-8."""
    return _orjson_dumps(value) if orjson is not None else _stdlib_dumps(value)


def loads(text: bytes | str) -> Any:
    """Read JSON text; raises ValueError if it is none."""
    return json.loads(text)


def _stdlib_dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _orjson_dumps(value: Any) -> bytes:
    # The result of orjson keeps its whole 4 KB write buffer alive; the copy holds no more than the text.
    return bytes(memoryview(orjson.dumps(value)))
