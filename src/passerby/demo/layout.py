"""The layout of all pages of the demo shop, as HTML made from plain values."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from .customer import Cart
from .device import PHONE, Device, Urls
from .product import Product

SHOP = "Milestone"
ICONS = {
    "laptop": '<rect x="4" y="5" width="16" height="11" rx="1.5"/><path d="M2 19h20"/>',
    "phone": '<rect x="7" y="2.5" width="10" height="19" rx="2"/><path d="M11 18.5h2"/>',
    "cart": '<path d="M3 4h2.5l2.2 11h10l2-8H6.3"/><circle cx="9" cy="19.5" r="1.2"/>'
    '<circle cx="16.5" cy="19.5" r="1.2"/>',
    "mark": '<path d="M8 21V9a4 4 0 0 1 8 0v12M5 21h14M10.5 11h3M10.5 14h3"/>',
}

HISTORY_FORM = """<form id="history-form" method="post" action="/history">You may have been here before:
<button id="history" class="plain">add events of three earlier days</button></form>"""


@dataclass(frozen=True, slots=True)
class Visitor:
    """What every page shows about the visitor.

    Attributes:
        browser_id: the browser's ID, as passerby knows it.
        user_id: the user ID, as passerby knows it.
        name: the first name, if logged in.
        email: the email, if logged in.
        cart: the cart.
        device: the device.
        newsletter: the email with which they signed up.
        has_history: whether events of earlier days were added.
        is_framed: whether the page is shown in a frame.
        addresses: the URLs of the demo.
    """

    browser_id: str | None
    user_id: str | None
    name: str | None
    email: str
    cart: Cart
    device: Device
    newsletter: str | None
    has_history: bool
    is_framed: bool
    addresses: Urls


def layout(title: str, visitor: Visitor, content: str, *, asks_for_newsletter: bool = True) -> str:
    """A complete page.

    Args:
        title: its title.
        visitor: the visitor.
        content: its content.
        asks_for_newsletter: whether to show the newsletter form below.
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
{_device_bar(visitor)}
<header class="top"><a class="name" href="/">{icon("mark")}{SHOP}</a>
<nav aria-label="Shop">{_links(visitor)}</nav></header>
<main id="content">{content}</main>
{_footer(visitor, asks_for_newsletter)}
{_visitor_panel(visitor)}
</div>
</body>
</html>
"""


def icon(name: str) -> str:
    """A decorative icon."""
    return f'<svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{ICONS[name]}</svg>'


def picture(product: Product) -> str:
    """The decorative picture of a product."""
    return f'<svg class="picture {product.tint}" viewBox="0 0 96 96" aria-hidden="true">{product.picture}</svg>'


def field(label: str, name: str, value: str = "", **attributes: str) -> str:
    """A required field of a form."""
    more = "".join(f' {key}="{escape(text)}"' for key, text in attributes.items())
    return f'<label>{label}\n<input name="{name}" value="{escape(value)}" required{more}></label>'


def alert(problem: str | None) -> str:
    """The error of a form, if there is one."""
    return f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""


def _device_bar(visitor: Visitor) -> str:
    """The bar above the shop: the current device and links to the other one."""
    device = visitor.device
    links = ""
    if device != PHONE:
        # noopener: a page on another device would have no opener.
        links = (
            f'<a id="second-device" href="{visitor.addresses.shop(PHONE)}/" target="_blank" rel="noopener noreferrer">'
            f"{icon('phone')}Second device</a>"
        )
        links += "" if visitor.is_framed else '<a id="side-by-side" href="/side-by-side">Side by side</a>'
    return (
        f'<aside class="device-bar" aria-label="Demo"><span id="device" class="badge" data-device="{device.name}">'
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
    """The newsletter form, or the confirmation."""
    if visitor.newsletter is not None:
        return f'<p id="newsletter-done">One letter a month goes to <strong>{escape(visitor.newsletter)}</strong>.</p>'
    return f"""<p>One a month: a path, a recipe, a thing well made.</p>{alert(problem)}
<form id="newsletter-form" class="line" method="post" action="/newsletter">
{field("Email", "email", email or visitor.email, type="email", autocomplete="email", maxlength="200")}
<button id="newsletter-submit">Sign up</button></form>"""


def _visitor_panel(visitor: Visitor) -> str:
    """The panel with what passerby knows, and what to try."""
    steps = "".join(f"<li>{step}</li>" for step in _steps(visitor))
    return f"""<aside class="visitor-panel" aria-label="About this demo"><section><h2>What passerby knows</h2>
<dl><dt>Browser ID</dt><dd><code data-browser-id>{escape(visitor.browser_id or "none yet")}</code></dd>
<dt>User ID</dt><dd><code data-user-id>{escape(visitor.user_id or "none yet")}</code></dd>
<dt>Device</dt><dd>{visitor.device.name}, events of channel <code data-channel>{visitor.device.channel}</code></dd></dl>
</section><section><h2>What to try</h2><ol>{steps}</ol></section></aside>"""


def _steps(visitor: Visitor) -> list[str]:
    if visitor.device == PHONE:
        return [
            "For the shop this is another browser, with its own ID.",
            "Log in as the same person as on the laptop. Both devices belong to one user now, with the same cart.",
            "Order, and see in the collector which user the purchase belongs to.",
        ]
    past = [] if visitor.user_id else [HISTORY_FORM]  # only for anonymous visitors
    return [
        "Look around. You are anonymous; all page views have the same browser ID.",
        *(["Events of three earlier days were added."] if visitor.has_history else past),
        "Log in: the earlier events of this browser are attributed to you.",
        "Open the shop on a phone, log in as the same person there, and order.",
    ]
