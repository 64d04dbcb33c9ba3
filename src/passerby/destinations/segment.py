"""Segment's HTTP tracking API, in batches, also accepted by RudderStack and Jitsu.

Sources of the facts: the requests of `segment-analytics-python` 2.4.0 as observed on the wire, and Segment's reference
of its HTTP API. No service was reachable when this was written: the responses of the services are not verified.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from gzip import compress
from typing import Any, get_args

from ..events.event import Event, EventKind
from ..events.identity import traits_of
from ..values.secret import Secret
from . import DestinationResponse, OutgoingRequest, SendResult
from .messages import (
    MAX_MESSAGES,
    MAX_TOGETHER,
    check_message,
    checked_write_key,
    judge_batch,
    size_in_batch,
    write_batch,
)
from .reserved import refuse_conflicting
from .target import checked_name, checked_switch, checked_target, origin_of

TARGET_URL = "https://api.segment.io"


class Segment:
    """Segment as a destination, or another service that accepts the batches of Segment's tracking API.

    Args:
        write_key: the source's write key.
        target_url: the address before ``/v1/batch``: Segment's by default, or that of RudderStack's data plane, of
            Jitsu, or of your proxy.
        gzip: whether bodies are compressed.
        name: the name of this destination in receipts and statistics.

    Raises:
        SettingsError: a setting is missing or wrong.
    """

    kinds: frozenset[EventKind] = frozenset(get_args(EventKind))
    batch_size: int = MAX_MESSAGES
    batch_bytes: int = MAX_TOGETHER

    def __init__(
        self,
        *,
        write_key: str | Secret,
        target_url: str = TARGET_URL,
        gzip: bool = False,
        name: str = "segment",
    ) -> None:
        key = checked_write_key(write_key)
        self._target = checked_target(target_url)
        self.name: str = checked_name(name)
        self._gzip = checked_switch(gzip, "gzip")
        self.options: Mapping[str, Any] = {
            "write_key": Secret(key),
            "target_url": target_url,
            "gzip": gzip,
            "name": name,
        }
        self._authorization = Secret(f"Basic {b64encode(f'{key}:'.encode()).decode()}")

    def __repr__(self) -> str:
        return f"<Segment {self.name!r} at {self._target.partition('://')[2]}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of the target."""
        return origin_of(self._target)

    def check(self, event: Event) -> None:
        """Raise ValidationError if the message would be too large, its page has no name, or a trait is another ID."""
        if event.kind == "identity":
            refuse_conflicting(traits_of(event), {"id": event.user_id}, self.name, "traits")
        check_message(event, self.name)

    def encoded_size(self, event: Event) -> int:
        """Return the number of bytes of its message and a comma."""
        return size_in_batch(event)

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        """Return the POST request of a batch."""
        body = write_batch(events)
        headers = {"Content-Type": "application/json", "Authorization": self._authorization.reveal()}
        if self._gzip:
            headers["Content-Encoding"] = "gzip"
            body = compress(body, mtime=0)  # without a time stamp, so that equal events give equal bytes
        return OutgoingRequest("POST", f"{self._target}/v1/batch", headers, body)

    def classify(self, response: DestinationResponse) -> SendResult:
        """2xx is delivered; a batch rejected as a whole is split; other responses are classified as usual."""
        return judge_batch(response)
