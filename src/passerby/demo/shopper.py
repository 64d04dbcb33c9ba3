"""Who is in the shop, on which device: what its routes look at, and through which they tell passerby."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, cast

from fastapi import Depends, Request

from .. import Tracker, ValidationError
from .customer import Cart, Customer, Customers, add, together, user_id_of
from .device import Addresses, Device, device_of
from .layout import Visitor
from .product import PRODUCTS, Product

ACCOUNT = "SHOP"  # the provider of user IDs; see identity_provider in the settings
EMAIL = "EMAIL"


class Shopper:
    """One visitor of the shop during one request.

    Attributes:
        tracker: the visitor, as passerby knows them.
        device: what they hold in the hand.
    """

    def __init__(self, request: Request) -> None:
        self.tracker: Tracker = cast(Tracker, request.state.tracker)
        self.device: Device = device_of(request.url.hostname)
        self._is_framed = request.headers.get("sec-fetch-dest") == "iframe"
        self._session = request.session
        self._addresses = cast(Addresses, request.app.state.addresses)
        self._customers = cast(Customers, request.app.state.customers)

    @property
    def customer(self) -> Customer | None:
        """Who is logged in."""
        return self._customers.find(self._session.get("user_id"))

    @property
    def cart(self) -> Cart:
        """What is in the cart: the customer's, or this browser's as long as nobody is logged in."""
        customer = self.customer
        cart: Cart = self._session.get("cart", {}) if customer is None else customer.cart
        return {slug: quantity for slug, quantity in cart.items() if slug in PRODUCTS}

    @property
    def visitor(self) -> Visitor:
        """What the pages say about them."""
        customer = self.customer
        return Visitor(
            browser_id=self.tracker.browser_id,
            user_id=self.tracker.user_id,
            name=None if customer is None else customer.name or customer.email,
            email="" if customer is None else customer.email,
            cart=self.cart,
            device=self.device,
            newsletter=self._session.get("newsletter"),
            has_a_past=self.has_a_past,
            is_framed=self._is_framed,
            addresses=self._addresses,
        )

    @property
    def has_a_past(self) -> bool:
        """Whether earlier days were played."""
        return bool(self._session.get("past"))

    def put(self, product: Product, quantity: int = 1) -> None:
        """Put something into the cart."""
        self._fill_cart(add(self.cart, product.slug, quantity))

    def remove(self, slug: str) -> None:
        """Take something out of the cart."""
        self._fill_cart({each: number for each, number in self.cart.items() if each != slug})

    def empty_cart(self) -> None:
        """Have nothing in the cart."""
        self._fill_cart({})

    def _fill_cart(self, cart: Cart) -> None:
        customer = self.customer
        if customer is None:
            self._session["cart"] = cart
        else:
            customer.fill_cart(cart)

    def sees(self, page: str, data: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Tell that they see a page."""
        self.tracker.page_view(
            {"page": page, "channel": self.device.channel}, {"device": self.device.name, **(data or {})}, **options
        )

    def does(self, type: str, what: Mapping[str, Any], data: Mapping[str, Any] | None = None, **options: Any) -> None:
        """Tell what they do."""
        self.tracker.event(
            type, {**what, "channel": self.device.channel}, {"device": self.device.name, **(data or {})}, **options
        )

    def log_in(self, email: str, name: str) -> None:
        """Tell who they are, and have them in from now on. Raises ValidationError if that is no email."""
        user_id, before = user_id_of(email), self.tracker.user_id
        self._is_known_by(email, {"id": user_id, "provider": ACCOUNT}, first_name=name, plan="member")
        if before == email:  # known by the newsletter until now; the systems would take the two for two people
            self.tracker.alias(email)
        cart = self.cart
        customer = self._customers.open(email, name)
        self._session["user_id"], self._session["cart"] = user_id, {}
        customer.fill_cart(together(customer.cart, cart))

    def log_out(self) -> None:
        """Forget who they are; the browser stays the same one."""
        self.tracker.reset()
        self._session.clear()

    def sign_up(self, email: str) -> None:
        """Tell that they want the newsletter, and by that who they are, if nobody has said so yet.

        Raises ValidationError if that is no email.
        """
        customer = self.customer
        if customer is None:
            self._is_known_by(email, newsletter=True)
        else:
            email = customer.email
        self.does("NEWSLETTER", {"page": "Newsletter"}, {"list": "monthly"})
        self._session["newsletter"] = email

    def _is_known_by(self, email: str, *others: dict[str, str], first_name: str = "", **traits: Any) -> None:
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

    def remember_past(self) -> None:
        """Note that earlier days were played; once is enough."""
        self._session["past"] = True


def shopper_of(request: Request) -> Shopper:
    """Whoever asks for a page."""
    return Shopper(request)


ShopperDep = Annotated[Shopper, Depends(shopper_of)]
"""Whoever asks for a page, for the parameters of the shop's routes."""
