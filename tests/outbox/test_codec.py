"""Events as bytes."""

from __future__ import annotations

import pytest

from passerby.events.event import Context, Event
from passerby.outbox.codec import UndecodablePayload, decode, encode, is_whole, version_of

from .process import event_of

EVENT = Event(
    id="0196",
    kind="event",
    type="ADD",
    time=1_750_000_000.123456,
    browser_id=None,
    visitor="visit:1",
    user_id="Ada Lovelace",
    data={"product": {"price": 9.99, "sizes": [1, None, True]}, "name": "Zoë 🎈"},
    extension={"theme": "dark", "big": 2**63 - 1, "small": 5e-324},
    context=Context(ip="192.0.2.0", campaign={"utm_source": "x"}, bot=True),
    point_of_sale="shop/ie",
    integrations={"All": False},
)


@pytest.mark.parametrize(
    "event",
    [EVENT, EVENT._replace(nested={"cart": {"items": [1]}, "none": None}), event_of("ada")],
    ids=["full", "nested", "bare"],
)
def test_an_event_is_decoded_as_it_was(event: Event) -> None:
    payload = encode(event)

    assert decode(payload) == event
    assert (version_of(payload), is_whole(payload)) == (1, True)


def test_a_payload_of_which_a_byte_has_changed_is_not_decoded() -> None:
    """Decision "damage": a checksum with each payload."""
    payload = encode(EVENT)
    for place in range(len(payload)):
        damaged = payload[:place] + bytes([payload[place] ^ 0x10]) + payload[place + 1 :]
        with pytest.raises(UndecodablePayload):
            decode(damaged)


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x01abcd", b"{}", b"[1]", b"\xff\xfe", encode(EVENT)[:-1]])
def test_what_is_no_event_is_not_decoded(payload: bytes) -> None:
    assert not is_whole(payload)
    with pytest.raises(UndecodablePayload):
        decode(payload)
