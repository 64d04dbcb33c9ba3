"""What Customer.io's API answers: keys, strict mode, limits, and which calls are refused."""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from typing import Any

import pytest

from passerby.collector.api_request import ApiRequest, ApiResponse
from passerby.collector.pipelines_api import PipelinesApi, key_of

CALL = {"type": "track", "event": "E", "userId": "u1", "messageId": "m1", "timestamp": "2024-03-04T05:06:07.891Z"}
BASIC = f"Basic {b64encode(b'key:').decode()}"


def answer(body: Any, *, api: PipelinesApi | None = None, path: str = "/v1/batch", **headers: str) -> ApiResponse:
    given = {"authorization": BASIC, "x-strict-mode": "1"} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return (api or PipelinesApi()).handle(ApiRequest("POST", path, text, given))


def batch(*calls: Any) -> dict[str, Any]:
    return {"batch": list(calls)}


def test_a_batch_is_taken() -> None:
    taken = answer(batch(CALL, {**CALL, "type": "page"}))

    assert (taken.status, taken.body, taken.refusal) == (200, {"success": True}, None)
    assert [message["type"] for message in taken.messages] == ["track", "page"]


def test_a_single_call_is_of_the_paths_type() -> None:
    taken = answer({"userId": "u1", "traits": {"a": 1}}, path="/v1/identify")

    assert taken.messages == ({"userId": "u1", "traits": {"a": 1}, "type": "identify"},)


def test_a_call_may_hold_half_a_letter() -> None:
    """JSON can write one, though no text has it."""
    call = {**CALL, "event": "\ud800"}

    assert answer(batch(call)).messages == (call,)


def test_a_compressed_batch_is_taken_and_a_broken_one_is_not() -> None:
    packed = gzip.compress(json.dumps(batch(CALL)).encode())

    assert answer(packed, content_encoding="gzip").messages == (CALL,)
    assert answer(packed[:-20], content_encoding="gzip").status == 400
    assert answer(b"{}", content_encoding="gzip").status == 400


@pytest.mark.parametrize(
    ("authorization", "key"),
    [
        (BASIC, "key"),
        ("Bearer sk_us_1", "sk_us_1"),
        (f"Basic {b64encode(b'key:password').decode()}", None),
        ("Basic key", None),
        ("", None),
        ("Digest x", None),
    ],
)
def test_the_key_is_a_users_name_or_a_bearers_token(authorization: str, key: str | None) -> None:
    assert key_of(authorization) == key


@pytest.mark.parametrize("authorization", ["", BASIC, "Bearer sk_us_2", f"Basic {b64encode(b':').decode()}"])
def test_a_wrong_key_is_401_in_strict_mode_and_looks_right_otherwise(authorization: str) -> None:
    api = PipelinesApi(["sk_us_1"])

    strict = answer(batch(CALL), api=api, authorization=authorization)
    assert (strict.status, strict.messages) == (401, ())
    lenient = answer(batch(CALL), api=api, authorization=authorization, x_strict_mode="")
    assert (lenient.status, lenient.body, lenient.messages) == (200, {"success": True}, ())
    assert lenient.refusal is not None
    assert answer(batch(CALL), api=api, authorization="Bearer sk_us_1").status == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"userId": None}, "userId and anonymousId are missing"),
        ({"userId": ""}, "userId and anonymousId are missing"),
        ({"event": None}, "event is missing"),
        ({"type": "buy"}, "its type is not known"),
        ({"type": "group"}, "groupId is missing"),
        ({"type": "alias"}, "userId or previousId is missing"),
        ({"properties": []}, "properties is no object"),
        ({"traits": "x"}, "traits is no object"),
        ({"messageId": 5}, "messageId is no text"),
        ({"timestamp": "yesterday"}, "timestamp is not ISO 8601"),
        ({"timestamp": 5}, "timestamp is not ISO 8601"),
        ({"properties": {"t": "x" * 33_000}}, "it is longer than 32,768 bytes"),
    ],
)
def test_one_bad_call_refuses_the_batch_in_strict_mode_and_is_left_out_otherwise(
    change: dict[str, Any], reason: str
) -> None:
    calls = batch(CALL, {**CALL, **change})

    strict = answer(calls)
    assert (strict.status, strict.messages) == (400, ())
    assert strict.body == {"code": "invalid_request", "message": f"call 1: {reason}"}
    lenient = answer(calls, x_strict_mode="")
    assert (lenient.status, lenient.messages, lenient.refusal) == (200, (CALL,), f"call 1: {reason}")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"batch": []}', b'{"batch": {}}', b'{"batch": [NaN]}', b"\xff"])
def test_what_is_no_batch_is_refused(body: bytes) -> None:
    assert answer(body).status == 400


def test_a_call_that_is_no_object_is_refused() -> None:
    assert answer(batch("call")).refusal == "call 0: it is no object"


def test_a_batch_has_500_kilobytes_at_most_whatever_the_mode() -> None:
    large = batch(*[{**CALL, "properties": {"t": "x" * 30_000}}] * 17)

    assert answer(large).status == 413
    assert answer(large, x_strict_mode="").status == 413


def test_other_methods_are_refused() -> None:
    assert PipelinesApi().handle(ApiRequest("GET", "/v1/batch", b"", {})).status == 405
