"""Customer.io Data Pipelines: the batch endpoint, as the vendor's SDKs use it, and its responses.

Sources of the facts: the requests of `customerio-cdp-analytics` 1.1.0 and `@customerio/cdp-analytics-node` 0.5.9 as
observed on the wire; limits, strict mode and regions from Customer.io's Pipelines API reference.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from gzip import compress
from typing import Any, Literal, get_args

from ..errors import SettingsError
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

Region = Literal["us", "eu"]

_HOSTS: Mapping[str | None, str] = {
    "us": "https://cdp.customer.io",
    "eu": "https://cdp-eu.customer.io",
    None: "https://cdp.customer.io",  # the region of keys in the old format, which contain none
}
_region_in = re.compile(r"(?:pk|sk)_(us|eu)_").match


class CustomerIO:
    """Customer.io Data Pipelines as a destination.

    Args:
        write_key: the source's API key.
        region: "us" or "eu"; by default the one in the key, else the US.
        target_url: an address other than the region's, such as that of your proxy.
        gzip: whether bodies are compressed.
        strict: whether the service rejects a wrong key or an invalid call; otherwise everything seems delivered.
        name: the name of this destination in receipts and statistics.

    Raises:
        SettingsError: a setting is missing, wrong, or does not fit another one.
    """

    kinds: frozenset[EventKind] = frozenset(get_args(EventKind))
    batch_size: int = MAX_MESSAGES
    batch_bytes: int = MAX_TOGETHER

    def __init__(
        self,
        *,
        write_key: str | Secret,
        region: Region | None = None,
        target_url: str | None = None,
        gzip: bool = False,
        strict: bool = True,
        name: str = "customerio",
    ) -> None:
        key = checked_write_key(write_key)
        self._target = checked_target(_host_of(key, region) if target_url is None else target_url)
        self.name: str = checked_name(name)
        self._gzip = checked_switch(gzip, "gzip")
        self.options: Mapping[str, Any] = {
            "write_key": Secret(key),
            "region": region,
            "target_url": target_url,
            "gzip": gzip,
            "strict": strict,
            "name": name,
        }
        self._write_key = Secret(key)
        self._headers = {"Content-Type": "application/json"}
        if checked_switch(strict, "strict"):
            self._headers["X-Strict-Mode"] = "1"
        if gzip:
            self._headers["Content-Encoding"] = "gzip"

    def __repr__(self) -> str:
        return f"<CustomerIO {self.name!r} at {self._target.partition('://')[2]}>"

    @property
    def origin(self) -> str:
        """The scheme, host and port of the target."""
        return origin_of(self._target)

    def check(self, event: Event) -> None:
        """Raise ValidationError if the call would be too large, its page has no name, or a trait is another ID."""
        if event.kind == "identity":
            # A trait with such a name would change the person's ID.
            refuse_conflicting(traits_of(event), {"id": event.user_id, "cioid": None}, self.name, "traits")
        check_message(event, self.name)

    def encoded_size(self, event: Event) -> int:
        """Return the number of bytes of its message and a comma."""
        return size_in_batch(event)

    def encode(self, events: Sequence[Event]) -> OutgoingRequest:
        """Return the POST request of a batch."""
        body = write_batch(events)
        headers = self._headers | {"Authorization": _authorization(self._write_key.reveal())}
        # Without a time stamp, equal texts are compressed to equal bytes.
        return OutgoingRequest(
            "POST", f"{self._target}/v1/batch", headers, compress(body, mtime=0) if self._gzip else body
        )

    def classify(self, response: DestinationResponse) -> SendResult:
        """2xx is delivered; a batch rejected as a whole is split; other responses are classified as usual."""
        return judge_batch(response)


def _host_of(key: str, region: Region | None) -> str:
    if not isinstance(region, str | None) or region not in ("us", "eu", None):
        found = repr(region)[:100] if isinstance(region, str) else type(region).__name__
        raise SettingsError(f'found {found}, expected "us" or "eu"', setting="region")
    named = _region_in(key)
    if named is None:
        return _HOSTS[region]
    if region not in (None, named[1]):
        raise SettingsError(f"found {region!r}, expected {named[1]!r}, which the write key names", setting="region")
    return _HOSTS[named[1]]


def _authorization(key: str) -> str:
    """Use a key with a region as a bearer token, and a key in the old format as a user name without password."""
    return f"Bearer {key}" if _region_in(key) else f"Basic {b64encode(f'{key}:'.encode()).decode()}"
