"""The shop's customers, kept as long as it runs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

Cart = dict[str, int]  # product to quantity

MOST = 99  # of one product in a cart


@dataclass(slots=True)
class Customer:
    """Somebody with an account. The cart belongs to it, and so is the same on all devices."""

    user_id: str
    email: str
    name: str
    cart: Cart = field(default_factory=Cart)

    def rename(self, name: str) -> None:
        """Take this name, unless it is empty."""
        self.name = name or self.name

    def fill_cart(self, cart: Cart) -> None:
        """Have this in the cart and nothing else."""
        self.cart = cart


class Customers:
    """The accounts, found by user ID."""

    def __init__(self) -> None:
        self._by_user_id: dict[str, Customer] = {}

    def find(self, user_id: str | None) -> Customer | None:
        """The customer with a user ID, if there is one."""
        return self._by_user_id.get(user_id or "")

    def open(self, email: str, name: str) -> Customer:
        """The customer with this email, a new one if need be."""
        user_id = user_id_of(email)
        customer = self._by_user_id.setdefault(user_id, Customer(user_id, email, name))
        customer.rename(name)
        return customer


def user_id_of(email: str) -> str:
    """The user ID of whoever has this email: the same on each device, and each time that the demo runs."""
    return f"customer-{hashlib.blake2b(email.lower().encode(), digest_size=4).hexdigest()}"


def add(cart: Cart, slug: str, quantity: int = 1) -> Cart:
    """The cart with more in it."""
    return {**cart, slug: min(cart.get(slug, 0) + quantity, MOST)}


def together(one: Cart, other: Cart) -> Cart:
    """What is in either cart."""
    for slug, quantity in other.items():
        one = add(one, slug, quantity)
    return one
