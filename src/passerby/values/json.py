"""The one door to JSON text: the standard library, or orjson where it is installed, with the same results.

Both write compact UTF-8 and keep the order of keys. Callers pass only values that `passerby.events.attributes.plain`
made: str, int within 64 bits, finite float, bool, None, list and dict with text keys. For these the two say the same,
if not always with the same characters: very small numbers have more than one form.
"""

import json
from typing import Any


def dumps_with_stdlib(value: Any) -> bytes:
    """Write a plain value as JSON text in UTF-8, with the standard library."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def dumps_sorted_with_stdlib(value: Any) -> bytes:
    """Do as `dumps_with_stdlib` does, with the keys in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


try:
    import orjson
except ImportError:
    dumps = dumps_with_stdlib
    dumps_sorted = dumps_sorted_with_stdlib
else:

    def dumps(value: Any) -> bytes:
        """Write a plain value as JSON text in UTF-8."""
        # The result of orjson keeps its whole 4 KB write buffer alive; the copy holds no more than the text.
        return bytes(memoryview(orjson.dumps(value)))

    def dumps_sorted(value: Any) -> bytes:
        """Do as `dumps` does, with the keys in their order, so that equal values have the same text."""
        return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def loads(text: bytes | str) -> Any:
    """Read JSON text; raises ValueError if it is none."""
    return json.loads(text)
