"""What the demo shop sells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from .customer import Cart


@dataclass(frozen=True, slots=True)
class Product:
    """One product."""

    slug: str
    name: str
    kind: str
    price: Decimal  # in euros
    about: str
    facts: tuple[str, ...]
    tint: str  # the colour of its picture, by its name in the style sheet
    picture: str  # the inside of an SVG, 96 by 96, drawn in lines; class "body" is filled

    def as_page_data(self) -> dict[str, object]:
        """The product as data of a page view."""
        return {"product": self.slug, "price": float(self.price)}

    def as_event_data(self, quantity: int = 1) -> dict[str, object]:
        """The product as Sitecore's events describe one."""
        return {
            "item_id": self.slug,
            "productId": self.slug,
            "name": self.name,
            "type": self.kind,
            "quantity": quantity,
            "price": float(self.price),
            "currency": "EUR",
        }


PRODUCTS = {
    product.slug: product
    for product in (
        Product(
            "trail-kettle",
            "Trail kettle",
            "KITCHEN",
            Decimal("34.00"),
            "Boils for two in four minutes and whistles only when asked to.",
            ("1.2 litres, 390 grams", "Stainless steel, folding handle", "For gas, wood and embers"),
            "clay",
            '<path class="body" d="M26 46h40l8 30a6 6 0 0 1-6 6H24a6 6 0 0 1-6-6z"/><path d="M28 46a18 18 0 0 1 36 0"/>'
            '<path d="M70 62c9 0 9-12 15-14"/><circle class="body" cx="46" cy="24" r="4"/><path d="M27 58h38"/>',
        ),
        Product(
            "storm-lantern",
            "Storm lantern",
            "LIGHT",
            Decimal("49.50"),
            "A warm light for the last mile, in any wind. Burns for twenty hours.",
            ("Twenty hours on one filling", "Glass that can be replaced", "Lamp oil or paraffin"),
            "amber",
            '<path class="body" d="M34 34h28l4 40H30z"/>'
            '<path d="M28 82h40M38 34v-8h20v8M36 26c0-16 24-16 24 0M30 74h36"/>'
            '<path class="glow" d="M48 46c8 8 8 18 0 20c-8-2-8-12 0-20z"/>',
        ),
        Product(
            "wool-blanket",
            "Wool blanket",
            "SLEEP",
            Decimal("89.00"),
            "Woven from the wool of sheep that you may well have met on the way.",
            ("140 by 200 centimetres", "Wool of four farms, undyed", "Washed by airing it"),
            "moss",
            '<rect class="body" x="18" y="28" width="60" height="40" rx="4"/>'
            '<path d="M18 40h60M18 46h60M24 68v8M36 68v8M48 68v8M60 68v8M72 68v8"/>',
        ),
        Product(
            "enamel-mug",
            "Enamel mug",
            "KITCHEN",
            Decimal("12.90"),
            "Survives falls, bears and dishwashers. Holds a third of a litre.",
            ("A third of a litre", "Enamel on steel, two coats", "Rim of bare steel"),
            "sky",
            '<path class="body" d="M24 32h40v40a8 8 0 0 1-8 8H32a8 8 0 0 1-8-8z"/>'
            '<path d="M64 42h8a8 8 0 0 1 8 8v4a10 10 0 0 1-10 10h-6M24 40h40"/>'
            '<path d="M34 24v-6M44 24v-8M54 24v-6"/>',
        ),
        Product(
            "paper-map",
            "Paper map",
            "NAVIGATION",
            Decimal("9.80"),
            "Needs no battery, shows every path, and folds back the way it came.",
            ("One to fifty thousand", "Paper that stands a shower", "Every spring and every inn"),
            "sky",
            '<path class="body" d="M16 28l20-8 24 8 20-8v48l-20 8-24-8-20 8z"/><path d="M36 20v48M60 28v48"/>'
            '<path d="M22 56c8-14 20 6 30-8s14-6 20-12" stroke-dasharray="4 5"/>',
        ),
        Product(
            "day-pack",
            "Day pack",
            "BAGS",
            Decimal("74.00"),
            "Eighteen litres: a jumper, a lunch, a map, and room for what you find.",
            ("Eighteen litres, 720 grams", "Waxed cotton, brass buckles", "A back that lets air through"),
            "moss",
            '<rect class="body" x="26" y="28" width="44" height="54" rx="12"/><path d="M38 28v-6a10 10 0 0 1 20 0v6"/>'
            '<path d="M34 56h28v18H34zM34 44h28M48 56v6"/>',
        ),
    )
}


def total_of(cart: Cart) -> Decimal:
    """The price of the cart."""
    return sum((PRODUCTS[slug].price * quantity for slug, quantity in cart.items()), Decimal())


def in_cart(cart: Cart) -> Iterable[tuple[Product, int]]:
    """The products in the cart, with their quantities."""
    return ((PRODUCTS[slug], quantity) for slug, quantity in cart.items())
