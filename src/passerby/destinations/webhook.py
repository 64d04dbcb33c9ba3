"""Webhooks: events as signed JSON, as in the Standard Webhooks specification (https://www.standardwebhooks.com)."""

from __future__ import annotations

import binascii
import hmac
import re
import time
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any, cast, get_args

from ..errors import SettingsError
from ..events.event import Context, Event, EventKind
from ..values import json
from ..values.outcome import Delivered
from ..values.secret import Secret
from . import DestinationResponse, OutgoingRequest, Rejected, Retry, SendResult, SplitBatch
from .responses import classify_status, read_retry_after
from .target import checked_name, checked_switch, checked_webhook, collector_url, origin_of

MAX_BATCH = 500_000  # bytes of a body; a larger event goes alone
_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)  # as the specification says
_BROWSER_ID = 64  # bytes of the browser ID that an event without one will get, at most
_ENVELOPE = len(b'{"type":"events","timestamp":"2026-01-01T00:00:00.000Z","data":{"events":[]}}')

_is_plain_id = re.compile(r"[A-Za-z0-9_-]{1,64}").fullmatch
_pieces_of = re.compile(r"[\s,]+").split

OneSecret = str | Secret


class Webhook:
    """Your HTTP endpoint, or one of a customer, as a destination.

    Args:
        url: the URL to which events are posted; https, except for private addresses.
        secret: the key that signs the requests, ``whsec_`` and 24 to 64 bytes in base64. To replace a key, set both,
            as a list or with a comma between them: each request is signed with all of them.
        batch_size: the maximum number of events in one request. With 1, a request that is tried again always has the
            same ``webhook-id``; with more, waiting events may be batched differently.
        allow_private_addresses: whether the address may be one of a private network or of this machine.
        name: the name of this destination in receipts and statistics.

    Raises:
        SettingsError: a setting is missing or wrong.
    """

    kinds: frozenset[EventKind] = frozenset(get_args(EventKind))
    batch_bytes: int = MAX_BATCH - _ENVELOPE

    def __init__(
        self,
        *,
        url: OneSecret,
        secret: OneSecret | Sequence[OneSecret],
        batch_size: int = 1,
        allow_private_addresses: bool = False,
        name: str = "webhook",
    ) -> None:
        checked_switch(allow_private_addresses, "allow_private_addresses")
        self._url = checked_webhook(url.reveal() if isinstance(url, Secret) else url, allow_private_addresses)
        if type(batch_size) is not int or not 1 <= batch_size <= 1000:
            raise SettingsError("expected a whole number from 1 to 1000", setting="batch_size")
        secrets = [_checked_secret(one) for one in _split_secrets(secret)]
        if not secrets:
            raise SettingsError(f"found none, expected {_PREFIX} and a key in base64", setting="secret")
        self.name: str = checked_name(name)
        self.batch_size: int = batch_size
        self.options: Mapping[str, Any] = {
            "url": Secret(self._url),  # it may have a token in its path or query
            "secret": [Secret(text) for text in secrets],
            "batch_size": batch_size,
            "allow_private_addresses": allow_private_addresses,
            "name": name,
        }
        self._secrets = [Secret(text) for text in secrets]
        self._public_only = not allow_private_addresses

    def __repr__(self) -> str:
        return f"<Webhook {self.name!r} at {origin_of(self._url).partition('://')[2]}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of the URL, or of the collector that replaces it."""
        return collector_url() or origin_of(self._url)

    def check(self, event: Event) -> None:
        """Accept every event."""

    def encoded_size(self, event: Event) -> int:
        """Return the number of bytes of an event and a comma."""
        return len(_write(event)) + 1 + (_BROWSER_ID if event.browser_id is None else 0)

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        """Return the POST request. Its time and signature are those of the attempt, the rest is always the same."""
        body = b'{"type":"events","timestamp":"%s","data":{"events":[%s]}}' % (
            events[0].timestamp_text.encode(),
            b",".join(map(_write, events)),
        )
        message_id, timestamp = _message_id(events), int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": " ".join(
                sign(secret.reveal(), message_id, timestamp, body) for secret in self._secrets
            ),
        }
        return OutgoingRequest("POST", self._url, headers, body, public_only=self._public_only)

    def classify(self, response: DestinationResponse) -> SendResult:
        """2xx is delivered; redirects and 410 Gone are permanent; a rejected batch is split; else it is tried again.

        According to the specification every failure is tried again: an endpoint during deployment may return 404.
        """
        status = response.status
        if 200 <= status < 300:
            return Delivered()
        if status == 410:
            return Rejected("status 410: the endpoint is gone; remove it from the settings")
        if 300 <= status < 400:
            return Rejected(f"status {status}: redirects are not followed; set the new address")
        if status in (400, 413, 422):
            return SplitBatch(f"status {status}")
        result = classify_status(response)
        if isinstance(result, Retry):
            return result
        return Retry(f"status {status}", read_retry_after(response.headers.get("retry-after")))


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a request: ``v1,`` and HMAC-SHA256 of ``id.timestamp.body`` in base64.

    Args:
        secret: ``whsec_`` and the key in base64.
        message_id: the header `webhook-id`.
        timestamp: the header `webhook-timestamp`, seconds since 1970.
        body: the body as it is sent.
    """
    signed = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return f"v1,{b64encode(hmac.digest(b64decode(secret.removeprefix(_PREFIX)), signed, sha256)).decode()}"


def _message_id(events: Sequence[Event]) -> str:
    """Return an ID that is the same whenever the same events are sent together. For one event it is the event's ID.

    An event ID of the app may have characters not allowed in a header, or a point, the separator of the signed text.
    """
    if len(events) == 1 and _is_plain_id(events[0].id):
        return events[0].id
    return f"batch_{sha256(' '.join(event.id for event in events).encode()).hexdigest()[:32]}"


def _split_secrets(secret: object) -> list[str]:
    if isinstance(secret, str | Secret):
        given: Iterable[object] = [secret]
    elif isinstance(secret, list | tuple):
        given = cast("Iterable[object]", secret)
    else:
        found = "none" if secret is None else type(secret).__name__
        raise SettingsError(f"found {found}, expected {_PREFIX} and a key in base64", setting="secret")
    texts: list[str] = []
    for one in given:
        text = one.reveal() if isinstance(one, Secret) else one
        if not isinstance(text, str):
            raise SettingsError(f"found {type(text).__name__}, expected text", setting="secret")
        texts += filter(None, _pieces_of(text))
    return texts


def _checked_secret(text: str) -> str:
    expected = f"expected {_PREFIX} and 24 to 64 random bytes in base64"
    try:
        key = b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
    except (binascii.Error, ValueError):
        raise SettingsError(f"found a key that is no base64, {expected}", setting="secret") from None
    if not text.startswith(_PREFIX):
        raise SettingsError(f"found a key without {_PREFIX}, {expected}", setting="secret")
    if len(key) not in _KEY_BYTES:
        raise SettingsError(f"found a key of {len(key)} bytes, {expected}", setting="secret")
    return text


def _write(event: Event) -> bytes:
    return json.dumps(_event_body(event))


def _event_body(event: Event) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": event.id,
        "kind": event.kind,
        "type": event.type,
        "timestamp": event.timestamp_text,
        "browser_id": event.browser_id,
        "user_id": event.user_id,
        "data": event.data,
        "attributes": event.attributes,
        "context": _context(event.context),
    }
    optional = {
        "previous_id": event.previous_id,
        "point_of_sale": event.point_of_sale,
        "integrations": event.integrations,
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def _context(context: Context) -> dict[str, Any]:
    said: dict[str, Any] = {name: value for name, value in context._asdict().items() if value not in (None, False)}
    said.pop("campaign_decoded_twice", None)  # an oddity of one system's SDK
    return said | {"campaign": dict(context.campaign)} if context.campaign else said
