"""What all pages of the demo shop share, as HTML made from plain values."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from .customer import Cart
from .device import PHONE, Addresses, Device
from .product import Product

SHOP = "Milestone"
ICONS = {
    "laptop": '<rect x="4" y="5" width="16" height="11" rx="1.5"/><path d="M2 19h20"/>',
    "phone": '<rect x="7" y="2.5" width="10" height="19" rx="2"/><path d="M11 18.5h2"/>',
    "cart": '<path d="M3 4h2.5l2.2 11h10l2-8H6.3"/><circle cx="9" cy="19.5" r="1.2"/>'
    '<circle cx="16.5" cy="19.5" r="1.2"/>',
    "mark": '<path d="M8 21V9a4 4 0 0 1 8 0v12M5 21h14M10.5 11h3M10.5 14h3"/>',
}

PAST_FORM = """<form id="past-form" method="post" action="/past">You may have been here before:
<button id="past" class="plain">tell of three earlier days</button></form>"""


@dataclass(frozen=True, slots=True)
class Visitor:
    """What every page says about who is looking.

    Attributes:
        browser_id: the browser's ID, as passerby knows it.
        user_id: who it is, as passerby knows it.
        name: the first name of whoever is logged in.
        email: the email of whoever is logged in.
        cart: what they are about to buy.
        device: what they hold in the hand.
        newsletter: the email with which they signed up.
        has_a_past: whether earlier days were played.
        is_framed: whether the page will stand in a frame.
        addresses: where everything is to be opened.
    """

    browser_id: str | None
    user_id: str | None
    name: str | None
    email: str
    cart: Cart
    device: Device
    newsletter: str | None
    has_a_past: bool
    is_framed: bool
    addresses: Addresses


def layout(title: str, visitor: Visitor, content: str, *, asks_for_newsletter: bool = True) -> str:
    """A whole page.

    Args:
        title: what it is about.
        visitor: who is looking.
        content: what it says itself.
        asks_for_newsletter: whether the form stands below, as it does where it is not the content.
    """
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · {SHOP}</title>
<link rel="stylesheet" href="/shop.css">
<link rel="icon" href="/mark.svg" type="image/svg+xml">
</head>
<body data-device="{visitor.device.name}">
<div class="screen">
<a class="skip" href="#content">Skip to the content</a>
{_stage(visitor)}
<header class="top"><a class="name" href="/">{icon("mark")}{SHOP}</a>
<nav aria-label="Shop">{_links(visitor)}</nav></header>
<main id="content">{content}</main>
{_footer(visitor, asks_for_newsletter)}
{_backstage(visitor)}
</div>
</body>
</html>
"""


def icon(name: str) -> str:
    """A small picture beside words that say the same."""
    return f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{ICONS[name]}</svg>'


def picture(product: Product) -> str:
    """The picture of a product, whose name stands beside it."""
    return f'<svg class="picture {product.tint}" viewBox="0 0 96 96" aria-hidden="true">{product.picture}</svg>'


def field(label: str, name: str, value: str = "", **attributes: str) -> str:
    """A field of a form, which has to be filled in."""
    more = "".join(f' {key}="{escape(text)}"' for key, text in attributes.items())
    return f'<label>{label}\n<input name="{name}" value="{escape(value)}" required{more}></label>'


def alert(problem: str | None) -> str:
    """What was wrong with a form, if anything was."""
    return f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""


def _stage(visitor: Visitor) -> str:
    """The strip above the shop: which device this is, and how to come to the other one."""
    device = visitor.device
    links = ""
    if device != PHONE:
        # Without an opener, as another device would not have one either.
        links = (
            f'<a id="second-device" href="{visitor.addresses.shop(PHONE)}/" target="_blank" rel="noopener noreferrer">'
            f"{icon('phone')}Second device</a>"
        )
        links += "" if visitor.is_framed else '<a id="side-by-side" href="/side-by-side">Side by side</a>'
    return (
        f'<aside class="stage" aria-label="Demo"><span id="device" class="badge" data-device="{device.name}">'
        f"{icon(device.name)}{device.name.title()}</span>{links}</aside>"
    )


def _links(visitor: Visitor) -> str:
    count = sum(visitor.cart.values())
    cart = (
        f'<a id="cart-link" href="/cart">{icon("cart")}Cart <span class="count" data-count="{count}">{count}</span></a>'
    )
    if visitor.name is None:
        return f'{cart}<a id="login-link" href="/login">Log in</a>'
    leave = f'<button id="logout" class="plain">Log out {escape(visitor.name)}</button>'
    return f'{cart}<form id="logout-form" method="post" action="/logout">{leave}</form>'


def _footer(visitor: Visitor, asks_for_newsletter: bool) -> str:
    letters = f"<section><h2>Letters from the road</h2>{newsletter_form(visitor)}</section>"
    return f"""<footer class="bottom">{letters if asks_for_newsletter else ""}
<section><h2>Good to know</h2><ul><li>Sent within a day, free from € 50</li><li>A hundred days to change your mind</li>
<li>Mended for as long as you walk with it</li></ul></section></footer>"""


def newsletter_form(visitor: Visitor, problem: str | None = None, email: str = "") -> str:
    """The form for the newsletter, or the news that it is not needed any more."""
    if visitor.newsletter is not None:
        return f'<p id="newsletter-done">One letter a month goes to <strong>{escape(visitor.newsletter)}</strong>.</p>'
    return f"""<p>One a month: a path, a recipe, a thing well made.</p>{alert(problem)}
<form id="newsletter-form" class="line" method="post" action="/newsletter">
{field("Email", "email", email or visitor.email, type="email", autocomplete="email", maxlength="200")}
<button id="newsletter-submit">Sign up</button></form>"""


def _backstage(visitor: Visitor) -> str:
    """What passerby knows, and what there is to try."""
    steps = "".join(f"<li>{step}</li>" for step in _steps(visitor))
    return f"""<aside class="backstage" aria-label="Backstage"><section><h2>What passerby knows</h2>
<dl><dt>Browser ID</dt><dd><code data-browser-id>{escape(visitor.browser_id or "none yet")}</code></dd>
<dt>User ID</dt><dd><code data-user-id>{escape(visitor.user_id or "nobody yet")}</code></dd>
<dt>Device</dt><dd>{visitor.device.name}, events of channel <code data-channel>{visitor.device.channel}</code></dd></dl>
</section><section><h2>What to try</h2><ol>{steps}</ol></section></aside>"""


def _steps(visitor: Visitor) -> list[str]:
    if visitor.device == PHONE:
        return [
            "This is another browser, as far as the shop can tell: it has an ID of its own.",
            "Log in as the same person as on the laptop. The two devices meet in one user, and the cart is here too.",
            "Order, and see to whom the purchase belongs.",
        ]
    past = [] if visitor.user_id else [PAST_FORM]  # anonymous days are over once it is known who it is
    return [
        "Look around. Nobody knows who you are, but each page is told under the same browser ID.",
        *(["Three earlier days are told."] if visitor.has_a_past else past),
        "Log in: what this browser did before is yours from now on.",
        "Open the shop on a phone, log in as the same person there, and order.",
    ]
