"""The responses of Customer.io's Data Pipelines API: values in, values out, no network.

Documented by Customer.io: the paths; Basic authentication with the key as user name; that without `X-Strict-Mode: 1`
everything is answered 200 and what fails the checks is only logged, and that with it the answer is 400 or 401; 32 KB
a call and 500 KB a batch; that an identify call needs a user ID or an anonymous one. Seen in the vendor's SDKs: Bearer
for keys that name their region, gzip, and which fields a call needs.

Guessed: that a batch with one bad call is refused whole in strict mode, and that the good ones of it are taken
otherwise; 413 for a batch that is too large; 404 and 405; the bodies of all answers.
"""

from __future__ import annotations

import json
import zlib
from base64 import b64decode
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any, cast

from .api_request import ApiRequest, ApiResponse
from .json_object import JSONObject, as_list, as_object, parse_object

MAX_CALL = 32_768  # bytes
MAX_BATCH = 500_000  # bytes
GZIP = 16 + zlib.MAX_WBITS
PERSONAL = frozenset({"identify", "track", "page", "screen"})
OBJECTS = ("traits", "properties", "context", "integrations")


class PipelinesApi:
    """The emulated service, with the valid write keys."""

    def __init__(self, write_keys: Collection[str] = ()) -> None:  # empty: all keys are valid
        self._write_keys = frozenset(write_keys)

    def handle(self, request: ApiRequest) -> ApiResponse:
        """Return the response to a request."""
        if request.method != "POST":
            return _refuse(405, "method_not_allowed", "Calls are sent with POST")
        is_strict = request.headers.get("x-strict-mode") == "1"
        refusal, taken = self._take(request)
        if refusal is None or (not is_strict and refusal.status in (400, 401)):
            return ApiResponse(
                200,
                {"success": True},
                refusal=None if refusal is None else refusal.refusal,
                system="customerio",
                messages=tuple(taken.values()),
                positions=tuple(taken),
            )
        return refusal

    def _take(self, request: ApiRequest) -> tuple[ApiResponse | None, dict[int, JSONObject]]:
        """Return the refusal, and the messages that are accepted all the same."""
        key = key_of(request.headers.get("authorization", ""))
        if key is None or not self._is_right(key):
            return _refuse(401, "unauthorized", "The write key is missing or not one of this service"), {}
        try:
            body = plain_body(request)
            if len(body) > MAX_BATCH:
                return _refuse(413, "too_large", f"The batch is longer than {MAX_BATCH:,} bytes"), {}
            messages = read_messages(request)
        except ValueError as error:
            return _refuse(400, "invalid_json", f"The body cannot be read: {error}"), {}
        wrong = {number: reason for number, one in enumerate(messages) if (reason := what_is_wrong(one)) is not None}
        taken = {number: as_object(one) for number, one in enumerate(messages) if number not in wrong}
        if not wrong:
            return None, taken
        reasons = "; ".join(f"call {number}: {reason}" for number, reason in wrong.items())
        return _refuse(400, "invalid_request", reasons[:1000]), taken

    def _is_right(self, key: str) -> bool:
        return bool(key) and (not self._write_keys or key in self._write_keys)


def key_of(authorization: str) -> str | None:
    """The key in an Authorization header: a bearer's token, or a user's name without a password."""
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = b64decode(value, validate=True).decode().partition(":")
    except ValueError:
        return None
    return None if password else user


def read_messages(request: ApiRequest) -> list[Any]:
    """The calls in a request, each with its type; raise ValueError where there are none."""
    body = parse_object(plain_body(request))
    name = request.bare_path.rpartition("/")[2]
    if name != "batch":
        return [{**body, "type": name}]
    batch = as_list(body.get("batch"))
    if not batch:
        raise ValueError("batch is no list of calls")
    return batch


def what_is_wrong(message: Any) -> str | None:
    """Return why a call is refused; None if it is accepted."""
    return next(_problems(message), None)


def _problems(message: Any) -> Iterator[str]:
    if not isinstance(message, dict):
        yield "it is no object"
        return
    call = as_object(cast("object", message))
    kind = call.get("type")
    if len(json.dumps(call, ensure_ascii=False, separators=(",", ":")).encode(errors="surrogatepass")) > MAX_CALL:
        yield f"it is longer than {MAX_CALL:,} bytes"
    if kind in PERSONAL and not (_is_id(call.get("userId")) or _is_id(call.get("anonymousId"))):
        yield "userId and anonymousId are missing"
    elif kind == "alias" and not (_is_id(call.get("userId")) and _is_id(call.get("previousId"))):
        yield "userId or previousId is missing"
    elif kind == "group" and not _is_id(call.get("groupId")):
        yield "groupId is missing"
    elif kind not in PERSONAL | {"alias", "group"}:
        yield "its type is not known"
    if kind == "track" and not isinstance(call.get("event"), str):
        yield "event is missing"
    for name in OBJECTS:
        if not isinstance(call.get(name), dict | None):
            yield f"{name} is no object"
    if not isinstance(call.get("messageId"), str | None):
        yield "messageId is no text"
    if not _is_moment(call.get("timestamp")):
        yield "timestamp is not ISO 8601"


def _is_id(value: object) -> bool:
    return (isinstance(value, str) and bool(value.strip())) or (
        isinstance(value, int | float) and not isinstance(value, bool)
    )


def _is_moment(value: object) -> bool:
    if value is None:
        return True
    try:
        datetime.fromisoformat(str(value))
    except ValueError:
        return False
    return isinstance(value, str)


def plain_body(request: ApiRequest) -> bytes:
    """The body, decompressed if needed. Raises ValueError."""
    if request.headers.get("content-encoding", "").lower() != "gzip":
        return request.body
    unpacking = zlib.decompressobj(GZIP)
    try:
        body = unpacking.decompress(request.body, MAX_BATCH + 1)  # limits what a compressed body can expand to
    except zlib.error:
        raise ValueError("it is no gzip") from None
    if not unpacking.eof and len(body) <= MAX_BATCH:
        raise ValueError("it is cut off")
    return body


def _refuse(status: int, code: str, reason: str) -> ApiResponse:
    return ApiResponse(status, {"code": code, "message": reason}, refusal=reason)
