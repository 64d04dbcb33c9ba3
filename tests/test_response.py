"""Cookies are appended to any framework's response; what is there stays."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any

import pytest
from starlette.responses import Response

from passerby import ValidationError
from passerby.http.response import add_cookies, headers_of
from passerby.http.set_cookie import SetCookie

COOKIE = SetCookie("bid_key", "value", 60, "/", "shop.example", "lax", True, True, False)
LINE = "bid_key=value; Max-Age=60; Path=/; SameSite=Lax; Domain=shop.example; Secure; HttpOnly"


class MultiDict:
    """Headers as Werkzeug keeps them."""

    def __init__(self) -> None:
        self.listed: list[tuple[str, str]] = [("Set-Cookie", "app=1")]

    def add(self, name: str, value: str) -> None:
        self.listed.append((name, value))

    def items(self) -> list[tuple[str, str]]:
        return self.listed


class FlaskLike:
    def __init__(self) -> None:
        self.headers = MultiDict()

    def set_cookie(self, *args: Any, **options: Any) -> None:
        raise AssertionError("it would write the cookie in its own way")


class DjangoLike:
    def __init__(self) -> None:
        self.headers = {"Content-Type": "text/html"}
        self.cookies: SimpleCookie = SimpleCookie()
        self.cookies["app"] = "1"
        self.calls: list[Any] = []

    def set_cookie(self, key: str, value: str, **options: Any) -> None:
        self.calls.append((key, value, options))


def test_a_list_of_bytes() -> None:
    headers: list[tuple[bytes, bytes]] = [(b"set-cookie", b"app=1")]
    add_cookies(headers, [COOKIE])
    assert headers == [(b"set-cookie", b"app=1"), (b"set-cookie", LINE.encode())]
    assert list(headers_of(headers)) == headers


def test_a_list_of_text() -> None:
    headers = [("Content-Type", "text/html")]
    add_cookies(headers, [COOKIE])
    assert headers == [("Content-Type", "text/html"), ("Set-Cookie", LINE)]


def test_an_empty_list() -> None:
    asgi: list[Any] = []
    add_cookies(asgi, [COOKIE])
    assert asgi == [(b"set-cookie", LINE.encode())]
    wsgi: list[Any] = []
    add_cookies(wsgi, [COOKIE], is_text=True)
    assert wsgi == [("Set-Cookie", LINE)]


def test_starlette() -> None:
    response = Response("text")
    response.set_cookie("app", "1")
    add_cookies(response, [COOKIE])
    assert [value for name, value in response.raw_headers if name == b"set-cookie"][1] == LINE.encode()
    assert (b"set-cookie", LINE.encode()) in headers_of(response)


def test_flask() -> None:
    response = FlaskLike()
    add_cookies(response, [COOKIE])
    assert list(headers_of(response)) == [("Set-Cookie", "app=1"), ("Set-Cookie", LINE)]


def test_django() -> None:
    """Its cookies are kept apart from its headers."""
    response = DjangoLike()
    assert list(headers_of(response)) == [("Content-Type", "text/html"), ("set-cookie", "app=1")]
    add_cookies(response, [COOKIE])
    ((key, value, options),) = response.calls
    assert (key, value) == ("bid_key", "value")
    assert options == {
        "max_age": 60, "path": "/", "domain": "shop.example", "secure": True, "httponly": True, "samesite": "Lax",
    }  # fmt: skip


@pytest.mark.parametrize("response", [None, "text", 5, object(), {}])
def test_what_is_no_response_is_refused(response: Any) -> None:
    with pytest.raises(ValidationError, match="where a response was expected"):
        add_cookies(response, [COOKIE])
    add_cookies(response, [])
