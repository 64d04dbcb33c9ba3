"""The shop's customers, kept in memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

Cart = dict[str, int]  # product to quantity

MAX_QUANTITY = 99  # of one product in a cart


@dataclass(slots=True)
class Customer:
    """An account. Its cart is the same on all devices."""

    user_id: str
    email: str
    name: str
    cart: Cart = field(default_factory=Cart)

    def rename(self, name: str) -> None:
        """Change the name, unless the new one is empty."""
        self.name = name or self.name

    def fill_cart(self, cart: Cart) -> None:
        """Replace the products in the cart."""
        self.cart = cart


class Customers:
    """The accounts, found by user ID."""

    def __init__(self) -> None:
        self._by_user_id: dict[str, Customer] = {}

    def find(self, user_id: str | None) -> Customer | None:
        """The customer with a user ID, if there is one."""
        return self._by_user_id.get(user_id or "")

    def open(self, email: str, name: str) -> Customer:
        """The customer with this email; a new one if there is none."""
        user_id = user_id_of(email)
        customer = self._by_user_id.setdefault(user_id, Customer(user_id, email, name))
        customer.rename(name)
        return customer


def user_id_of(email: str) -> str:
    """The user ID of an email: the same on each device and in each run of the demo."""
    return f"customer-{hashlib.blake2b(email.lower().encode(), digest_size=4).hexdigest()}"


def add(cart: Cart, slug: str, quantity: int = 1) -> Cart:
    """The cart with a product added."""
    return {**cart, slug: min(cart.get(slug, 0) + quantity, MAX_QUANTITY)}


def merge_carts(one: Cart, other: Cart) -> Cart:
    """The products of both carts."""
    for slug, quantity in other.items():
        one = add(one, slug, quantity)
    return one
