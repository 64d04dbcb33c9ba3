"""The header `Forwarded`, as RFC 7239 has it and as proxies write it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.http.forwarded import read_forwarded


@pytest.mark.parametrize(
    ("header", "elements"),
    [
        ('for="_gazonk"', [{"for": "_gazonk"}]),
        ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}]),
        ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
        ("for=a,FOR=b;Host=a.example", [{"for": "a"}, {"for": "b", "host": "a.example"}]),
        ("for=192.0.2.1:80;host=a.example:8443", [{"for": "192.0.2.1:80", "host": "a.example:8443"}]),
        ('host="a,b;c\\"d"', [{"host": 'a,b;c"d'}]),
        (" ; for=a ;; , ,", [{"for": "a"}]),
        ("for=a;for=b", [{"for": "a"}]),
        ("for=;host=a", [{"for": "", "host": "a"}]),
        ("", []),
        ('for="evil, for=192.0.2.1', []),
        ('for="evil, for="[2001:db8::1]:80"', []),
        ("for=a b", []),
        ("nonsense", []),
        ("for =a", []),
        ("for=a" * 10_000, []),
    ],
)  # fmt: skip
def test_elements(header: str, elements: list[dict[str, str]]) -> None:
    assert read_forwarded(header) == elements


names = st.sampled_from(["for", "host", "proto", "by", "secret"])
values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20)
written = st.lists(st.dictionaries(names, values, min_size=1), max_size=5)


@given(written)
def test_whatever_is_quoted_is_read_back(elements: list[dict[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    header = ", ".join(";".join(f"{name}={quoted(value)}" for name, value in one.items()) for one in elements)
    assert read_forwarded(header) == elements


@given(st.text(max_size=100))
def test_what_a_visitor_writes_hides_nothing(text: str) -> None:
    """What the proxy adds is the last element, or nothing is read at all."""
    read = read_forwarded(f'{text}, for="203.0.113.9"')
    assert read == [] or read[-1] == {"for": "203.0.113.9"}
