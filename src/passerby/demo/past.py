"""Three days in a minute: what somebody did who passed by before, told with the time at which it happened."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .product import PRODUCTS
from .shopper import Shopper

KETTLE, BLANKET, MAP = PRODUCTS["trail-kettle"], PRODUCTS["wool-blanket"], PRODUCTS["paper-map"]


def tell_past(shopper: Shopper, now: datetime | None = None) -> None:
    """Tell of three earlier days on which nobody knew who it was."""
    now = now or datetime.now(UTC)
    first, second, third = (now - timedelta(days=days) for days in (3, 2, 1))
    minute = timedelta(minutes=1)

    shopper.sees("Home", timestamp=first)
    shopper.sees(KETTLE.name, KETTLE.as_page_data(), timestamp=first + minute)
    shopper.sees("Home", timestamp=second)
    shopper.sees(MAP.name, MAP.as_page_data(), timestamp=second + minute)
    shopper.sees(BLANKET.name, BLANKET.as_page_data(), timestamp=second + 3 * minute)
    shopper.sees(KETTLE.name, KETTLE.as_page_data(), timestamp=third)
    shopper.does("ADD", {"page": KETTLE.name, "product": KETTLE.as_event_data()}, timestamp=third + 2 * minute)
    shopper.put(KETTLE)
    shopper.remember_past()
