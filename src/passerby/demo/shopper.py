"""The visitor of a request to the shop: account, cart and device, and the calls of the tracker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from .. import Tracker, ValidationError
from .customer import Cart, Customer, Customers, add, merge_carts, user_id_of
from .device import Device, Urls, device_of
from .layout import Visitor
from .product import PRODUCTS, Product

ACCOUNT = "SHOP"  # the provider of user IDs; see identity_provider in the settings
EMAIL = "EMAIL"


class Shopper:
    """One visitor of the shop during one request.

    Attributes:
        tracker: the visitor, as passerby knows them.
        device: the device.
    """

    def __init__(self, request: Request) -> None:
        self.tracker: Tracker = cast(Tracker, request.state.tracker)
        self.device: Device = device_of(request.url.hostname)
        self._is_framed = request.headers.get("sec-fetch-dest") == "iframe"
        self._session = request.session
        self._addresses = cast(Urls, request.app.state.addresses)
        self._customers = cast(Customers, request.app.state.customers)

    @property
    def customer(self) -> Customer | None:
        """The customer who is logged in, if any."""
        return self._customers.find(self._session.get("user_id"))

    @property
    def cart(self) -> Cart:
        """The cart: the customer's, or the session's of an anonymous visitor."""
        customer = self.customer
        cart: Cart = self._session.get("cart", {}) if customer is None else customer.cart
        return {slug: quantity for slug, quantity in cart.items() if slug in PRODUCTS}

    @property
    def visitor(self) -> Visitor:
        """The values that the pages show."""
        customer = self.customer
        return Visitor(
            browser_id=self.tracker.browser_id,
            user_id=self.tracker.user_id,
            name=None if customer is None else customer.name or customer.email,
            email="" if customer is None else customer.email,
            cart=self.cart,
            device=self.device,
            newsletter=self._session.get("newsletter"),
            has_history=self.has_history,
            is_framed=self._is_framed,
            addresses=self._addresses,
        )

    @property
    def has_history(self) -> bool:
        """Whether events of earlier days were added."""
        return bool(self._session.get("history"))

    def add_to_cart(self, product: Product, quantity: int = 1) -> None:
        """Add a product to the cart."""
        self._fill_cart(add(self.cart, product.slug, quantity))

    def remove(self, slug: str) -> None:
        """Remove a product from the cart."""
        self._fill_cart({each: number for each, number in self.cart.items() if each != slug})

    def empty_cart(self) -> None:
        """Remove all products from the cart."""
        self._fill_cart({})

    def _fill_cart(self, cart: Cart) -> None:
        customer = self.customer
        if customer is None:
            self._session["cart"] = cart
        else:
            customer.fill_cart(cart)

    def view_page(self, page: str, data: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Track a page view."""
        self.tracker.page_view(
            {"page": page, "channel": self.device.channel}, {"device": self.device.name, **(data or {})}, **options
        )

    def track(self, type: str, what: Mapping[str, Any], data: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Track an event."""
        self.tracker.event(
            type, {**what, "channel": self.device.channel}, {"device": self.device.name, **(data or {})}, **options
        )

    def log_in(self, email: str, name: str) -> None:
        """Identify the visitor and log in. Raises ValidationError for an invalid email."""
        user_id, before = user_id_of(email), self.tracker.user_id
        self._identify(email, {"id": user_id, "provider": ACCOUNT}, first_name=name, plan="member")
        if before == email:  # identified by the newsletter before; without an alias these would be two people
            self.tracker.alias(email)
        cart = self.cart
        customer = self._customers.open(email, name)
        self._session["user_id"], self._session["cart"] = user_id, {}
        customer.fill_cart(merge_carts(customer.cart, cart))

    def log_out(self) -> None:
        """Log out; the browser keeps its ID."""
        self.tracker.reset()
        self._session.clear()

    def sign_up(self, email: str) -> None:
        """Sign up for the newsletter; identifies an anonymous visitor.

        Raises ValidationError for an invalid email.
        """
        customer = self.customer
        if customer is None:
            self._identify(email, newsletter=True)
        else:
            email = customer.email
        self.track("NEWSLETTER", {"page": "Newsletter"}, {"list": "monthly"})
        self._session["newsletter"] = email

    def _identify(self, email: str, *others: dict[str, str], first_name: str = "", **traits: Any) -> None:
        if not email:
            raise ValidationError("Give an email address, such as ada@milestone.example")
        data = {
            "identifiers": [*others, {"id": email, "provider": EMAIL}],
            "email": email,
            "channel": self.device.channel,
        }
        if first_name:
            data["first_name"] = first_name
        self.tracker.identity(data, traits)

    def set_history(self) -> None:
        """Remember that events of earlier days were added."""
        self._session["history"] = True


def shopper_of(request: Request) -> Shopper:
    """Return the shopper of a request."""
    return Shopper(request)


ShopperDep = Annotated[Shopper, Depends(shopper_of)]
"""The shopper of a request, as a dependency of routes."""
