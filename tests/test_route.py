"""The names that patterns of routes give their pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.http.route import named_route


@pytest.mark.parametrize(
    ("route", "name"),
    [
        ("", ""),
        ("/", ""),
        ("^$", ""),
        ("about/", "about"),
        ("products/<slug:slug>/", "products/{slug}"),
        ("/products/<slug>", "products/{slug}"),
        ("/products/<any(red, blue):colour>/<int(min=1):pk>", "products/{colour}/{pk}"),
        ("/products/{slug}", "products/{slug}"),
        ("/products/{pk:int}.{form}", "products/{pk}.{form}"),
        ("de/produkte/<slug:slug>/", "de/produkte/{slug}"),
        (r"^articles/(?P<year>[0-9]{4})/(?P<slug>[\w-]+)/$", "articles/{year}/{slug}"),
        (r"shop/^items/(?P<pk>\d+)(?:\.html)?/?$", "shop/items/{pk}{}"),
        (r"^reset/(?P<uid>[0-9A-Za-z_\-]+)/(?P<token>.{1,64})/\Z", "reset/{uid}/{token}"),
        (r"^archive/([0-9]+)/$", "archive/{}"),
        (r"^page-\d+$", "page-{}"),
        (r"^a\.b/$", "a.b"),
        ("<path:name>", None),
        ("/docs/<path:name>", None),
        ("/docs/{name:path}", None),
        (r"^((?:[\w\-]+/)*)$", None),
        (r"^docs/(?P<path>.*)$", None),
        ("/<slug>", None),
        ("/{a}/{b}", None),
    ],
)
def test_the_name_of_a_route(route: str, name: str | None) -> None:
    assert named_route(route) == name


@given(st.text("abc/<>{}()[]^$\\?*+:P._-0", max_size=40))
def test_no_pattern_is_too_strange(route: str) -> None:
    named_route(route)
