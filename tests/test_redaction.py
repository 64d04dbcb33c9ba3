"""What is masked in paths, URLs and campaign values, and what stays as it is."""

from __future__ import annotations

import base64
import json
import secrets
import string
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.events.redaction import MASK, holds_secret, masked_path, masked_url, masked_value

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
DJANGO_TOKEN = "c3k5xq-0f4d9b1e7a2c6d8f0b3e5a7c9d1f2e4b"

MASKED = {
    f"/reset/{JWT}": "/reset/***",
    f"/docs/{JWT}/edit": "/docs/***/edit",
    "/s/eyJ1c2VyX2lkIjo0Mn0.ZzYx1A.kfj3_8fkdOfj20fkdls-3kd": "/s/***",
    f"/accounts/reset/MQ/{DJANGO_TOKEN}/": "/accounts/reset/***/***/",
    "/accounts/reset/Mg/set-password/": "/accounts/reset/***/set-password/",
    f"/x/MTIzNDU/{DJANGO_TOKEN}/": "/x/MTIzNDU/***/",
    "/accounts/password/reset/key/1-c3k5xq-9f3/": "/accounts/password/reset/key/***/",
    "/accounts/confirm-email/MQ:1tGyXz:k3jd9fLsPqWmNbVcXzAsDfGhJkL0192/": "/accounts/confirm-email/***/",
    "/magic/Zk3n9": "/magic/***",
    "/login-link/a1": "/login-link/***",
    "/verify/839201": "/verify/***",
    "/verify_email/550e8400-e29b-41d4-a716-446655440000": "/verify_email/***",
    "/Activate/77/xy-12": "/Activate/***/***",
    "/invite/Ab3": "/invite/***",
    "/unsubscribe/42": "/unsubscribe/***",
    "/token/4f2a": "/token/***",
    "/reset-token/4f2a": "/reset-token/***",
    "/u/ada@shop.example": "/u/***",
    "/u/ada%40shop.example/orders": "/u/***/orders",
    "/u/ada%2540shop.example": "/u/***",
    "/u/grace.hopper+news%40navy.example": "/u/***",
    "/u/j%C3%BCrgen%40m%C3%BCller.example": "/u/***",
    "/u/ada@163.com": "/u/***",
    "/files/ada@shop.example.html": "/files/***",
    "/pay/4111-1111-1111-1111": "/pay/***",
    "/pay/4111%201111%201111%201111": "/pay/***",
    "/pay/card_5555555555554444.html": "/pay/***",
    "/pay/378282246310005/ok": "/pay/***/ok",
    "/id/078-05-1120": "/id/***",
    "/a/Bearer%20abcdefghij": "/a/***",
    "/check/$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW": "/check/***/***/***",
    "/check/%242b%2412%24R9hcIPz0gi": "/check/***",
    "/page;jsessionid=1A2B/next": "/***/next",
    "/page;token=abc": "/***",
    "/go/https%3A%2F%2Fshop.example%2Freset%2FMQ%2Fabc-1": "/go/***",
    "/go/%2Fa%3Femail%3Dada": "/go/***",
    f"/r/{'0123456789abcdef' * 2}": "/r/***",
    f"/r/{'0123456789ABCDEF' * 4}.pdf": "/r/***",
    "/r/V1StGXR8_Z5jdHi6B-myTkQ0a8": "/r/***",
    "/r/JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP": "/r/***",
    "/k/sk_live_51H8xYzAbCd": "/k/***",
    "/k/AKIAIOSFODNN7EXAMPLE": "/k/***",
    "/" + quote(quote(quote(quote(quote("ada@shop.example"))))): "/***",
}
KEPT = [
    "",
    "/",
    "//",
    "/products/shoes",
    "/products/red-running-shoes-2026",
    "/products/550e8400-e29b-41d4-a716-446655440000",
    "/products/550E8400-E29B-41D4-A716-446655440000/reviews",
    "/products/41111111-1111-4111-8111-111111111111",
    "/products/01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "/products/507f1f77bcf86cd799439011",
    "/products/B08N5WRWNW",
    "/products/SM-S911BZKDEUB",
    "/products/iphone-15-pro-max-256gb-2nd-gen",
    "/products/iPhone-15-Pro-Max-256GB",
    "/products/iphone15promax256gb2ndgen",
    "/products/LG-OLED55C34LA-4K-UHD-120Hz",
    "/isbn/978-3-16-148410-0",
    "/ean/4006381333931",
    "/orders/12345678901234",
    "/orders/4111111111111112",
    "/blog/2026/11/30/hello-world",
    "/blog/2026-11-30-how-to-reset-your-password/comments/2",
    "/events/2026-11-30T14:20:02Z",
    "/events/20261130T142002Z",
    "/docs/v10.2.0-rc.1+build.20261130/api-key",
    "/docs/1.2.3",
    "/wiki/TheQuickBrownFoxJumpsOverTheLazyDog",
    "/watch/dQw4w9WgXcQ",
    "/@ada/notes",
    "/img/logo@2x.png",
    "/npm/jquery@3.7.1.min.js",
    "/npm/@scope/name@1.2.3",
    "/npm/theme@next.json",
    "/img/logo@dark.avif",
    "/static/app.3f2a1b9c8d7e6f5a4b3c.js",
    "/caf%C3%A9/cr%C3%A8me-br%C3%BBl%C3%A9e",
    "/%E6%97%A5%E6%9C%AC%E8%AA%9E/%E8%A3%BD%E5%93%81",
    "/sale/50%25-off",
    "/sale/100%",
    "/tag/c++",
    "/filter/color=red;size=42",
    "/accounts/reset/done/",
    "/accounts/password-reset",
    "/accounts/password/change/",
    "/verify-email/sent",
    "/confirm/index.html",
    "/how-to-reset/step-2",
    "/session/2026",
]


@pytest.mark.parametrize(("path", "masked"), MASKED.items())
def test_a_secret_in_a_path_is_masked(path: str, masked: str) -> None:
    assert masked_path(path) == masked
    assert masked_url(f"https://shop.example{path}") == f"https://shop.example{masked}"


@pytest.mark.parametrize("path", KEPT)
def test_what_is_no_secret_stays(path: str) -> None:
    assert masked_path(path) == path
    assert masked_url(f"https://shop.example{path}") == f"https://shop.example{path}"


def json_web_token(subject: str) -> str:
    pieces = (json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps({"sub": subject}), secrets.token_hex(16))
    return ".".join(base64.urlsafe_b64encode(piece.encode()).decode().rstrip("=") for piece in pieces)


LETTERS_AND_DIGITS = string.ascii_letters + string.digits
# No domain ends so, but files do. Hypothesis tries them: it takes words from our own modules.
FILE_ENDINGS = frozenset(
    {"js", "mjs", "ts", "css", "map", "json", "htm", "html", "xml", "txt", "pdf", "woff"}
    | {"png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico"}
)
TOKENS = st.one_of(
    st.text(max_size=20).map(json_web_token),
    st.binary(min_size=16, max_size=64).map(bytes.hex).filter(lambda text: not text.isdigit() and not text.isalpha()),
    st.randoms(use_true_random=True).map(lambda _: secrets.token_urlsafe(40)),
    st.randoms(use_true_random=True).map(lambda _: "".join(secrets.choice(LETTERS_AND_DIGITS) for _ in range(48))),
    st.builds("{}@{}.{}".format, *(st.text(string.ascii_lowercase, min_size=2, max_size=9) for _ in range(3))).filter(
        lambda text: text.rpartition(".")[2] not in FILE_ENDINGS
    ),
    st.sampled_from(["4242424242424242", "5105 1051 0510 5100", "3714-496353-98431", "6011000990139424"]),
)


@given(TOKENS, st.sampled_from(["", "a-", "report_", "x."]), st.sampled_from(["", ".html", "-2"]), st.integers(0, 3))
def test_no_token_comes_through_however_it_is_written(token: str, before: str, behind: str, rounds: int) -> None:
    part = f"{before}{token}{behind}"
    for _ in range(rounds):
        part = quote(part, safe="")
    assert masked_path(f"/a/{part}/b") == "/a/***/b"
    assert token not in masked_url(f"https://shop.example/a/{part}/b?utm_term={part}#{part}")
    assert masked_value("utm_term", part) == MASK


WORDS = st.sampled_from(["the", "red", "shoe", "iphone", "15", "pro", "max", "256gb", "café", "xl", "2026", "v2"])


@given(
    st.lists(
        st.one_of(
            st.lists(WORDS, min_size=1, max_size=8).map("-".join),
            st.uuids().map(str),
            st.integers(0, 10**12).map(str),
            st.dates().map(str),
            st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat),
            st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)).map(lambda v: "v{}.{}.{}".format(*v)),
        ),
        max_size=5,
    )
)
def test_slugs_ids_dates_and_versions_stay(parts: list[str]) -> None:
    path = "/" + "/".join(quote(part) for part in parts)
    assert masked_path(path) == path


@given(st.text(max_size=300))
def test_no_path_is_too_strange(path: str) -> None:
    masked = masked_path(path)
    assert masked_path(masked) == masked
    assert masked.count("/") == path.count("/")
    masked_url(path)
    holds_secret(path)


@pytest.mark.parametrize("piece", ["a", "@", "a@", "1 ", "42-", "%25", "a%2F", "aB1", "x=", "eyJ", "a.b@c.", "4111 "])
def test_a_hostile_path_is_read_in_one_go(piece: str) -> None:
    """An expression that tries again and again would not come to an end here."""
    path = "/" + "/".join([(piece * 600)[:511].replace("/", "-")] * 6)
    assert masked_path(path).count("/") == path.count("/")


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example:8443/a?b=c#d", "https://shop.example:8443/a?b=c#d"),
        ("/a?next=%2Fcart&page=2", "/a?next=%2Fcart&page=2"),
        (f"https://shop.example/a?next=/reset/{JWT}", "https://shop.example/a?next=***"),
        ("https://shop.example/a?access_token=abc&b=1", "https://shop.example/a?access_token=***&b=1"),
        ("https://shop.example/a?email=ada&b=1", "https://shop.example/a?email=***&b=1"),
        ("https://shop.example/a?to=ada+news@shop.example", "https://shop.example/a?to=***"),
        ("https://shop.example/a?card=4111+1111+1111+1111", "https://shop.example/a?card=***"),
        ("https://shop.example/a?ada@shop.example", "https://shop.example/a?***"),
        ("https://shop.example/a#access_token=abc", "https://shop.example/a#***"),
        ("https://shop.example/a#/reset/Mg/x1", "https://shop.example/a#***"),
        ("android-app://com.example/", "android-app://com.example/"),
        ("", ""),
    ],
)
def test_query_and_fragment_of_a_url(url: str, masked: str) -> None:
    assert masked_url(url) == masked


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("utm_source", "News", True),
        ("utm_campaign", "spring sale 2026 (20% off)", True),
        ("utm_id", "120210987654321098", True),
        ("utm_id", "550e8400-e29b-41d4-a716-446655440000", True),
        ("utm_term", "", True),
        ("utm_content", "ada@shop.example", False),
        ("utm_content", f"button {JWT}", False),
        ("utm_token", "77", False),
        ("utm_email", "ada", False),
        ("utm_term", "4111 1111 1111 1111", False),
    ],
)
def test_campaign_values(name: str, value: str, kept: bool) -> None:
    assert masked_value(name, value) == (value if kept else MASK)
