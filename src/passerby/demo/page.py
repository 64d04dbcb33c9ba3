"""The pages of the demo shop, as HTML made from plain values."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from html import escape

from .product import PRODUCTS, Product, in_cart, total_of

SHOP = "Milestone"


@dataclass(frozen=True, slots=True)
class Visitor:
    """What every page says about who is looking."""

    browser_id: str | None
    user_id: str | None
    name: str | None
    cart: dict[str, int]  # product to quantity


def home(visitor: Visitor) -> str:
    """The page with all products."""
    tiles = "".join(_tile(product) for product in PRODUCTS.values())
    return _page("Home", visitor, f"<h1>For those who pass by on foot</h1><ul class='tiles'>{tiles}</ul>")


def product(visitor: Visitor, product: Product) -> str:
    """The page of one product."""
    return _page(
        product.name,
        visitor,
        f"""<article class="product">{_picture(product)}<div>
<h1>{escape(product.name)}</h1><p>{escape(product.about)}</p><p class="price">{_euros(product.price)}</p>
<form method="post" action="/cart"><input type="hidden" name="product" value="{escape(product.slug)}">
<button>Add to cart</button></form></div></article>""",
    )


def cart(visitor: Visitor) -> str:
    """The cart."""
    if not visitor.cart:
        return _page("Cart", visitor, "<h1>Cart</h1><p>Nothing in it yet. <a href='/'>Look around</a>.</p>")
    lines = "".join(_cart_line(product, quantity) for product, quantity in in_cart(visitor.cart))
    return _page(
        "Cart",
        visitor,
        f"""<h1>Cart</h1><ul class="lines">{lines}</ul>
<p class="total">Together <strong>{_euros(total_of(visitor.cart))}</strong></p>
<form method="post" action="/order"><button>Order</button></form>""",
    )


def thanks(visitor: Visitor) -> str:
    """What follows an order."""
    words = "Nothing was charged, and nothing will arrive, except the event in your terminal."
    return _page("Thank you", visitor, f"<h1>Thank you</h1><p>{words}</p><p><a href='/'>Back to the shop</a></p>")


def login(visitor: Visitor, problem: str | None = None, name: str = "", email: str = "") -> str:
    """The form that turns a visitor into somebody."""
    alert = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    return _page(
        "Log in",
        visitor,
        f"""<h1>Log in</h1><p>Any name will do; nothing leaves this machine.</p>{alert}
<form method="post" action="/login" class="fields">
<label>First name
<input name="name" autocomplete="given-name" required maxlength="60" value="{escape(name)}"></label>
<label>Email
<input name="email" type="email" autocomplete="email" required maxlength="200" value="{escape(email)}"></label>
<button>Log in</button></form>""",
    )


def not_found(visitor: Visitor) -> str:
    """What stands where nothing is."""
    return _page("Not found", visitor, "<h1>No path leads here</h1><p><a href='/'>Back to the shop</a></p>")


def _page(title: str, visitor: Visitor, content: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · {SHOP}</title>
<link rel="stylesheet" href="/style.css">
<link rel="icon" href="data:,">
</head>
<body>
<header><a class="name" href="/">{SHOP}</a><nav>{_links(visitor)}</nav></header>
<main>{content}</main>
<footer>{_facts(visitor)}</footer>
</body>
</html>
"""


def _links(visitor: Visitor) -> str:
    cart = f'<a href="/cart">Cart <span class="count">{sum(visitor.cart.values())}</span></a>'
    if visitor.name is None:
        return f'{cart}<a href="/login">Log in</a>'
    leave = f'<button class="plain">Log out {escape(visitor.name)}</button>'
    return f'{cart}<form method="post" action="/logout">{leave}</form>'


def _facts(visitor: Visitor) -> str:
    return f"""<h2>What passerby knows</h2>
<dl><dt>Browser ID</dt><dd><code>{escape(visitor.browser_id or "none yet")}</code></dd>
<dt>User ID</dt><dd><code>{escape(visitor.user_id or "nobody yet")}</code></dd></dl>
<p>Each page you open becomes a line in the terminal.</p>"""


def _tile(product: Product) -> str:
    return f"""<li><a href="/products/{escape(product.slug)}">{_picture(product)}
<span>{escape(product.name)}</span><span class="price">{_euros(product.price)}</span></a></li>"""


def _cart_line(product: Product, quantity: int) -> str:
    return f"""<li><span>{quantity} <a href="/products/{escape(product.slug)}">{escape(product.name)}</a></span>
<span class="price">{_euros(product.price * quantity)}</span>
<form method="post" action="/cart/remove"><input type="hidden" name="product" value="{escape(product.slug)}">
<button class="plain" aria-label="Remove {escape(product.name)}">Remove</button></form></li>"""


def _picture(product: Product) -> str:
    return f'<svg viewBox="0 0 96 96" role="img" aria-label="{escape(product.name)}">{product.picture}</svg>'


def _euros(amount: Decimal) -> str:
    return f"€ {amount:,.2f}"
