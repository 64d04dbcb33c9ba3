"""The pages of the demo shop, as HTML made from plain values."""

from __future__ import annotations

from decimal import Decimal
from html import escape

from .layout import Visitor, layout, picture
from .product import PRODUCTS, Product, in_cart, total_of

FEATURED = PRODUCTS["trail-kettle"]
LANDSCAPE = """<svg class="landscape" viewBox="0 0 480 300" aria-hidden="true" preserveAspectRatio="xMidYMax slice">
<rect class="sky" width="480" height="300"/><circle class="sun" cx="352" cy="92" r="34"/>
<path class="far" d="M0 190c60-50 110-52 170-20s120 20 170-24 100-40 140-18v172H0z"/>
<path class="near" d="M0 232c80-46 160-30 230-8s150 22 250-34v110H0z"/>
<path class="road" d="M196 300c10-32 74-38 86-62s-30-26-22-46 40-22 44-38l6 2c0 22-34 26-38 40s34 20 24 48-50 30-44
56z"/>
<path class="stone" d="M112 276v-44a19 19 0 0 1 38 0v44z"/><path class="carved" d="M121 238h20M121 248h20M121 258h12"/>
</svg>"""
QUANTITIES = range(1, 6)


def home(visitor: Visitor) -> str:
    """The page with all products."""
    tiles = "".join(map(_tile, PRODUCTS.values()))
    return layout(
        "Home",
        visitor,
        f"""<section class="hero"><div><p class="kicker">Since the first milestone</p>
<h1>For those who pass by on foot</h1><p>Six things that are worth their weight, made to be mended.</p>
<a class="button" href="{_path(FEATURED)}">Put the kettle on</a></div>{LANDSCAPE}</section>
<h2 id="products">All that you need</h2><ul class="tiles">{tiles}</ul>""",
    )


def product(visitor: Visitor, product: Product) -> str:
    """The page of one product."""
    facts = "".join(f"<li>{escape(fact)}</li>" for fact in product.facts)
    options = "".join(f"<option>{each}</option>" for each in QUANTITIES)
    others = [other for other in PRODUCTS.values() if other != product]
    start = list(PRODUCTS).index(product.slug) % len(others)
    tiles = "".join(map(_tile, (others + others)[start : start + 3]))
    return layout(
        product.name,
        visitor,
        f"""<nav class="trail" aria-label="Where you are"><a href="/">Shop</a> / {product.kind.title()}</nav>
<article class="product">{picture(product)}<div><h1>{escape(product.name)}</h1>
<p class="price">{_euros(product.price)}</p><p>{escape(product.about)}</p><ul class="facts">{facts}</ul>
<form class="line" method="post" action="/cart">{_hidden(product)}
<label>Quantity <select name="quantity">{options}</select></label><button id="add-to-cart">Add to cart</button></form>
</div></article><h2>Goes well with it</h2><ul class="tiles few">{tiles}</ul>""",
    )


def cart(visitor: Visitor) -> str:
    """The cart."""
    if not visitor.cart:
        return layout(
            "Cart", visitor, "<h1>Cart</h1><p id='cart-empty'>Nothing in it yet. <a href='/'>Look around</a>.</p>"
        )
    lines = "".join(_cart_line(product, quantity) for product, quantity in in_cart(visitor.cart))
    hint = "" if visitor.name else "<p>You can <a href='/login'>log in</a> first, or order anonymously.</p>"
    return layout(
        "Cart",
        visitor,
        f"""<h1>Cart</h1><ul class="lines">{lines}</ul>
<div class="sum"><p class="total">Together <strong id="total">{_euros(total_of(visitor.cart))}</strong></p>{hint}
<form id="order-form" method="post" action="/order"><button id="order">Order</button></form></div>""",
    )


def thanks(visitor: Visitor, order: str | None) -> str:
    """The page after an order."""
    number = f"<p>Your order has the number <strong id='order-number'>{escape(order)}</strong>.</p>" if order else ""
    return layout(
        "Thank you",
        visitor,
        f"""<h1>Thank you{f", {escape(visitor.name)}" if visitor.name else ""}</h1>{number}
<p>Nothing was charged, and nothing will arrive, except the event at the collector.</p>
<p><a class="button" href="/">Back to the shop</a></p>""",
    )


def not_found(visitor: Visitor) -> str:
    """The page of an unknown address."""
    return layout("Not found", visitor, "<h1>Page not found</h1><p><a href='/'>Back to the shop</a></p>")


def _tile(product: Product) -> str:
    return f"""<li><a data-product="{escape(product.slug)}" href="{_path(product)}">{picture(product)}
<span class="title">{escape(product.name)}</span><span class="price">{_euros(product.price)}</span></a></li>"""


def _cart_line(product: Product, quantity: int) -> str:
    return f"""<li data-line="{escape(product.slug)}">{picture(product)}
<span class="title">{quantity} <a href="{_path(product)}">{escape(product.name)}</a></span>
<span class="price">{_euros(product.price * quantity)}</span>
<form method="post" action="/cart/remove">{_hidden(product)}
<button class="plain" aria-label="Remove {escape(product.name)}">Remove</button></form></li>"""


def _path(product: Product) -> str:
    return f"/products/{escape(product.slug)}"


def _hidden(product: Product) -> str:
    return f'<input type="hidden" name="product" value="{escape(product.slug)}">'


def _euros(amount: Decimal) -> str:
    return f"€ {amount:,.2f}"
