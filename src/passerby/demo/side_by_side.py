"""The page with the shop in one half and the collector in the other."""

from __future__ import annotations

from .device import Urls
from .layout import SHOP

SIDE_BY_SIDE = "/side-by-side"
COLLECTOR_PAGE = "/_collector/"


def frames_of(addresses: Urls) -> str:
    """The origins that the page frames, for its policy."""
    return f"{addresses.shop()} {addresses.collector}"


def side_by_side(addresses: Urls) -> str:
    """The page; each half has a link to open it alone."""
    shop, collector = f"{addresses.shop()}/", f"{addresses.collector}{COLLECTOR_PAGE}"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{SHOP} and its events · passerby demo</title>
<link rel="stylesheet" href="/side-by-side.css">
<link rel="icon" href="/mark.svg" type="image/svg+xml">
</head>
<body>
<h1>{SHOP} and its events</h1>
<main>{_frame("shop", "The shop", shop)}{_frame("collector", "Events", collector)}</main>
</body>
</html>
"""


def _frame(name: str, title: str, address: str) -> str:
    return f"""<section aria-labelledby="{name}-title"><div><h2 id="{name}-title">{title}</h2>
<a id="{name}-alone" href="{address}" target="_blank" rel="noopener">Open it alone</a></div>
<iframe id="{name}-frame" name="{name}" title="{title}" src="{address}"></iframe></section>"""
