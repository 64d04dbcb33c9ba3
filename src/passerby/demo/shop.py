"""A shop on FastAPI, tracked with passerby, as an example of an app."""

from __future__ import annotations

import secrets

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.middleware.sessions import SessionMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from .. import Tracking
from ..asgi import TrackingMiddleware
from . import account, pages
from .customer import Customers
from .device import DEVICES, PHONE, Urls
from .product import PRODUCTS, in_cart, total_of
from .responses import ASSETS, asset, go_to, html, read_form
from .shopper import ShopperDep, shopper_of
from .side_by_side import SIDE_BY_SIDE, frames_of, side_by_side


def make_shop(tracking: Tracking, addresses: Urls) -> FastAPI:
    """Build the app. Its session key is new in each run."""
    shop = FastAPI(title="passerby demo", openapi_url=None)
    shop.state.customers, shop.state.addresses = Customers(), addresses
    shop.add_middleware(SessionMiddleware, secret_key=secrets.token_urlsafe(32), session_cookie="shop")
    shop.add_middleware(TrackingMiddleware, tracking=tracking)
    shop.add_middleware(TrustedHostMiddleware, allowed_hosts=[device.host for device in DEVICES], www_redirect=False)
    shop.add_exception_handler(404, _show_not_found)
    shop.include_router(account.router)

    @shop.get("/")
    async def show_home(shopper: ShopperDep) -> Response:
        shopper.view_page("Home")
        return html(pages.home(shopper.visitor))

    @shop.get("/products/{slug}")
    async def show_product(request: Request, shopper: ShopperDep, slug: str) -> Response:
        product = PRODUCTS.get(slug)
        if product is None:
            return await _show_not_found(request)
        shopper.view_page(product.name, product.as_page_data())
        return html(pages.product(shopper.visitor, product))

    @shop.get("/cart")
    async def show_cart(shopper: ShopperDep) -> Response:
        shopper.view_page("Cart")
        return html(pages.cart(shopper.visitor))

    @shop.post("/cart")
    async def add_to_cart(request: Request, shopper: ShopperDep) -> Response:
        form = await read_form(request)
        product = PRODUCTS.get(form.get("product", ""))
        quantity = form.get("quantity", "1")
        if product is None or quantity not in map(str, pages.QUANTITIES):
            return await _show_not_found(request)
        shopper.add_to_cart(product, int(quantity))
        shopper.track("ADD", {"page": product.name, "product": product.as_event_data(int(quantity))})
        return go_to("/cart")

    @shop.post("/cart/remove")
    async def remove_from_cart(request: Request, shopper: ShopperDep) -> Response:
        slug = (await read_form(request)).get("product", "")
        shopper.remove(slug)
        return go_to("/cart")

    @shop.post("/order")
    async def order(request: Request, shopper: ShopperDep) -> Response:
        products = [product.as_event_data(quantity) for product, quantity in in_cart(shopper.cart)]
        if not products:
            return go_to("/cart")
        number, total = secrets.token_hex(3).upper(), float(total_of(shopper.cart))
        shopper.track("CONFIRM", {"page": "Cart", "product": products}, {"order": number, "total": total})
        shopper.empty_cart()
        request.session["order"] = number
        return go_to("/thanks")

    @shop.get("/thanks")
    async def show_thanks(request: Request, shopper: ShopperDep) -> Response:
        shopper.view_page("Thank you")
        return html(pages.thanks(shopper.visitor, request.session.get("order")))

    @shop.get(SIDE_BY_SIDE)
    async def show_side_by_side(request: Request) -> Response:
        if request.url.hostname == PHONE.host:  # too wide for a phone
            return go_to(f"{addresses.shop()}{SIDE_BY_SIDE}")
        return html(side_by_side(addresses), frames=frames_of(addresses))

    @shop.get("/{name}")
    async def show_asset(request: Request, name: str) -> Response:
        return asset(name) if name in ASSETS else await _show_not_found(request)

    return shop


async def _show_not_found(request: Request, exc: Exception | None = None) -> Response:
    return html(pages.not_found(shopper_of(request).visitor), status=404)
