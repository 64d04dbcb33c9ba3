"""A shop on FastAPI, tracked with passerby: what an app of your own would look like."""

from __future__ import annotations

import secrets
from typing import cast
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.middleware.sessions import SessionMiddleware

from .. import Tracker, Tracking, ValidationError
from ..asgi import TrackingMiddleware
from . import page
from .product import PRODUCTS, in_cart
from .style import STYLE

HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'",
    "cache-control": "no-store",
}


def make_shop(tracking: Tracking) -> FastAPI:
    """Build the app. Its sessions end with it: the key is a new one each time."""
    shop = FastAPI(title="passerby demo", openapi_url=None)
    shop.add_middleware(SessionMiddleware, secret_key=secrets.token_urlsafe(32), session_cookie="shop")
    shop.add_middleware(TrackingMiddleware, tracking=tracking)
    shop.add_exception_handler(404, _show_not_found)

    @shop.get("/")
    async def show_home(request: Request) -> Response:
        _tracker(request).page_view({"page": "Home"})
        return _html(page.home(_visitor(request)))

    @shop.get("/products/{slug}")
    async def show_product(request: Request, slug: str) -> Response:
        product = PRODUCTS.get(slug)
        if product is None:
            return await _show_not_found(request)
        _tracker(request).page_view({"page": product.name}, {"product": slug, "price": float(product.price)})
        return _html(page.product(_visitor(request), product))

    @shop.get("/cart")
    async def show_cart(request: Request) -> Response:
        _tracker(request).page_view({"page": "Cart"})
        return _html(page.cart(_visitor(request)))

    @shop.post("/cart")
    async def add_to_cart(request: Request) -> Response:
        product = PRODUCTS.get((await _form(request)).get("product", ""))
        if product is None:
            return await _show_not_found(request)
        cart = _cart(request)
        request.session["cart"] = {**cart, product.slug: min(cart.get(product.slug, 0) + 1, 99)}
        _tracker(request).event("ADD", {"page": product.name, "product": product.as_event_data()})
        return _go_to("/cart")

    @shop.post("/cart/remove")
    async def remove_from_cart(request: Request) -> Response:
        slug = (await _form(request)).get("product", "")
        request.session["cart"] = {each: number for each, number in _cart(request).items() if each != slug}
        return _go_to("/cart")

    @shop.post("/order")
    async def order(request: Request) -> Response:
        products = [product.as_event_data(quantity) for product, quantity in in_cart(_cart(request))]
        if not products:
            return _go_to("/cart")
        request.session["cart"] = {}
        _tracker(request).event("CONFIRM", {"product": products})
        return _go_to("/thanks")

    @shop.get("/thanks")
    async def show_thanks(request: Request) -> Response:
        _tracker(request).page_view({"page": "Thank you"})
        return _html(page.thanks(_visitor(request)))

    @shop.get("/login")
    async def show_login(request: Request) -> Response:
        _tracker(request).page_view({"page": "Log in"})
        return _html(page.login(_visitor(request)))

    @shop.post("/login")
    async def log_in(request: Request) -> Response:
        form = await _form(request)
        name, email = form.get("name", "").strip()[:60], form.get("email", "").strip()[:200]
        try:
            _tracker(request).identity(
                {"identifiers": [{"id": email, "provider": "EMAIL"}], "email": email, "first_name": name}
            )
        except ValidationError as exc:
            return _html(page.login(_visitor(request), exc.message, name, email), status=422)
        request.session["name"] = name or email
        return _go_to("/")

    @shop.post("/logout")
    async def log_out(request: Request) -> Response:
        _tracker(request).reset()
        request.session.clear()
        return _go_to("/")

    @shop.get("/style.css")
    async def show_style() -> Response:
        return Response(STYLE, media_type="text/css", headers={"cache-control": "public, max-age=60"})

    return shop


async def _show_not_found(request: Request, exc: Exception | None = None) -> Response:
    return _html(page.not_found(_visitor(request)), status=404)


def _tracker(request: Request) -> Tracker:
    return cast(Tracker, request.state.tracker)


def _visitor(request: Request) -> page.Visitor:
    tracker = _tracker(request)
    return page.Visitor(tracker.browser_id, tracker.user_id, request.session.get("name"), _cart(request))


def _cart(request: Request) -> dict[str, int]:
    return {slug: quantity for slug, quantity in request.session.get("cart", {}).items() if slug in PRODUCTS}


async def _form(request: Request) -> dict[str, str]:
    # Read by hand, as forms would need one more package. Nothing in this shop is longer.
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > 10_000:
            return {}
    return dict(parse_qsl(body.decode("utf-8", "replace")))


def _html(content: str, status: int = 200) -> Response:
    return HTMLResponse(content, status_code=status, headers=HEADERS)


def _go_to(path: str) -> Response:
    return RedirectResponse(path, status_code=303)
