"""The routes that change what is known of a visitor: log-in, log-out, newsletter and earlier days."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from .. import ValidationError
from . import account_pages
from .history import record_history
from .responses import go_to, html, read_form
from .shopper import ShopperDep

router: APIRouter = APIRouter()


@router.get("/login")
async def show_login(shopper: ShopperDep) -> Response:
    """The form."""
    shopper.view_page("Log in")
    return html(account_pages.login(shopper.visitor))


@router.post("/login")
async def log_in(request: Request, shopper: ShopperDep) -> Response:
    """Log in, or show what is wrong."""
    form = await read_form(request)
    name, email = form.get("name", "").strip()[:60], _email_in(form)
    try:
        shopper.log_in(email, name)
    except ValidationError as exc:
        return html(account_pages.login(shopper.visitor, exc.message, name, email), status=422)
    return go_to("/cart" if shopper.cart else "/")


@router.post("/logout")
async def log_out(shopper: ShopperDep) -> Response:
    """Log out."""
    shopper.log_out()
    return go_to("/")


@router.get("/newsletter")
async def show_newsletter(shopper: ShopperDep) -> Response:
    """The form, or the confirmation."""
    shopper.view_page("Newsletter")
    return html(account_pages.newsletter(shopper.visitor))


@router.post("/newsletter")
async def sign_up(request: Request, shopper: ShopperDep) -> Response:
    """Sign up, or show what is wrong."""
    email = _email_in(await read_form(request))
    try:
        shopper.sign_up(email)
    except ValidationError as exc:
        return html(account_pages.newsletter(shopper.visitor, exc.message, email), status=422)
    return go_to("/newsletter")


@router.post("/history")
async def add_history(shopper: ShopperDep) -> Response:
    """Add anonymous events of earlier days for this browser."""
    if not shopper.has_history and shopper.tracker.user_id is None:
        record_history(shopper)
    return go_to("/")


def _email_in(form: dict[str, str]) -> str:
    return form.get("email", "").strip().lower()[:200]
