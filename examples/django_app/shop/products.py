"""What the shop sells."""

from __future__ import annotations

from typing import NamedTuple


class Product(NamedTuple):
    """One thing, and what it costs in euros."""

    slug: str
    name: str
    price: int
    in_stock: int


PRODUCTS = {
    product.slug: product
    for product in (
        Product("lantern", "A lantern", 24, 5),
        Product("compass", "A compass", 18, 5),
        Product("kite", "A kite", 31, 1),
    )
}
