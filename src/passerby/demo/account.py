"""Where a visitor of the shop says who they are: log in, log out, the newsletter, and days before."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from .. import ValidationError
from . import accountpage
from .answer import go_to, html, read_form
from .past import tell_past
from .shopper import ShopperDep

router: APIRouter = APIRouter()


@router.get("/login")
async def show_login(shopper: ShopperDep) -> Response:
    """The form."""
    shopper.sees("Log in")
    return html(accountpage.login(shopper.visitor))


@router.post("/login")
async def log_in(request: Request, shopper: ShopperDep) -> Response:
    """Log in, or be told what is wrong."""
    form = await read_form(request)
    name, email = form.get("name", "").strip()[:60], _email_in(form)
    try:
        shopper.log_in(email, name)
    except ValidationError as exc:
        return html(accountpage.login(shopper.visitor, exc.message, name, email), status=422)
    return go_to("/cart" if shopper.cart else "/")


@router.post("/logout")
async def log_out(shopper: ShopperDep) -> Response:
    """Log out."""
    shopper.log_out()
    return go_to("/")


@router.get("/newsletter")
async def show_newsletter(shopper: ShopperDep) -> Response:
    """The form, or what follows it."""
    shopper.sees("Newsletter")
    return html(accountpage.newsletter(shopper.visitor))


@router.post("/newsletter")
async def sign_up(request: Request, shopper: ShopperDep) -> Response:
    """Sign up, or be told what is wrong."""
    email = _email_in(await read_form(request))
    try:
        shopper.sign_up(email)
    except ValidationError as exc:
        return html(accountpage.newsletter(shopper.visitor, exc.message, email), status=422)
    return go_to("/newsletter")


@router.post("/past")
async def play_past(shopper: ShopperDep) -> Response:
    """Have this browser been here before, when nobody knew who it was."""
    if not shopper.has_a_past and shopper.tracker.user_id is None:
        tell_past(shopper)
    return go_to("/")


def _email_in(form: dict[str, str]) -> str:
    return form.get("email", "").strip().lower()[:200]
