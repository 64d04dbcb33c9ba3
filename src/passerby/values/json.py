"""The only module that reads and writes JSON: with orjson where it is installed, else with the standard library.

Both write compact UTF-8 and keep the order of keys. Callers pass only values that `passerby.events.attributes.plain`
made: str, int within 64 bits, finite float, bool, None, list and dict with text keys. For these both write the same
values, but not always the same characters: very small numbers have more than one form.
"""

import json
from typing import Any


def dumps_with_stdlib(value: Any) -> bytes:
    """Write a plain value as JSON text in UTF-8, with the standard library."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def dumps_sorted_with_stdlib(value: Any) -> bytes:
    """Write a plain value as `dumps_with_stdlib` does, with sorted keys."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


try:
    import orjson
except ImportError:
    dumps = dumps_with_stdlib
    dumps_sorted = dumps_sorted_with_stdlib
else:

    def dumps(value: Any) -> bytes:
        """Write a plain value as JSON text in UTF-8."""
        # The result of orjson keeps its 4 KB write buffer alive; the copy has only the text.
        return bytes(memoryview(orjson.dumps(value)))

    def dumps_sorted(value: Any) -> bytes:
        """Write a plain value as `dumps` does, with sorted keys, so that equal values have equal text."""
        return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def loads(text: bytes | str) -> Any:
    """Parse JSON text. Raises ValueError if it is not valid."""
    return json.loads(text)
