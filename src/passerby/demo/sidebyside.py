"""The page with the shop in one half and the collector in the other."""

from __future__ import annotations

from .device import Addresses
from .layout import SHOP

SIDE_BY_SIDE = "/side-by-side"
COLLECTOR_PAGE = "/_collector/"


def frames_of(addresses: Addresses) -> str:
    """The origins that the page shows, for its policy."""
    return f"{addresses.shop()} {addresses.collector}"


def side_by_side(addresses: Addresses) -> str:
    """The page; each half can be opened alone."""
    shop, collector = f"{addresses.shop()}/", f"{addresses.collector}{COLLECTOR_PAGE}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{SHOP} and what it tells · passerby demo</title>
<link rel="stylesheet" href="/side-by-side.css">
<link rel="icon" href="/mark.svg" type="image/svg+xml">
</head>
<body>
<h1>{SHOP}, and what it tells</h1>
<main>{_half("shop", "The shop", shop)}{_half("collector", "What arrives", collector)}</main>
</body>
</html>
"""


def _half(name: str, title: str, address: str) -> str:
    return f"""<section aria-labelledby="{name}-title"><div><h2 id="{name}-title">{title}</h2>
<a id="{name}-alone" href="{address}" target="_blank" rel="noopener">Open it alone</a></div>
<iframe id="{name}-frame" name="{name}" title="{title}" src="{address}"></iframe></section>"""
