"""Events of three earlier days, sent with their own timestamps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from .product import PRODUCTS
from .shopper import Shopper

KETTLE, BLANKET, MAP = PRODUCTS["trail-kettle"], PRODUCTS["wool-blanket"], PRODUCTS["paper-map"]


def record_history(shopper: Shopper, now: datetime | None = None) -> None:
    """Track anonymous events of three earlier days."""
    now = now or datetime.now(UTC)
    first, second, third = (now - timedelta(days=days) for days in (3, 2, 1))
    minute = timedelta(minutes=1)

    shopper.view_page("Home", timestamp=first)
    shopper.view_page(KETTLE.name, KETTLE.as_page_data(), timestamp=first + minute)
    shopper.view_page("Home", timestamp=second)
    shopper.view_page(MAP.name, MAP.as_page_data(), timestamp=second + minute)
    shopper.view_page(BLANKET.name, BLANKET.as_page_data(), timestamp=second + 3 * minute)
    shopper.view_page(KETTLE.name, KETTLE.as_page_data(), timestamp=third)
    shopper.track("ADD", {"page": KETTLE.name, "product": KETTLE.as_event_data()}, timestamp=third + 2 * minute)
    shopper.add_to_cart(KETTLE)
    shopper.set_history()
