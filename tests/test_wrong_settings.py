"""Whatever a setting is set to, it is taken, or refused at the start with SettingsError and no other error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby import CustomerIO, Datalyr, Segment, Sitecore, Tracking, Webhook, init_server
from passerby.destinations.target import checked_target
from passerby.errors import SettingsError
from passerby.settings.settings import SettingsValues, make_settings

URL = "https://api.example.com"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EDGE: Any = Sitecore  # called with settings that its overloads refuse
MAKERS: dict[str, Callable[..., Any]] = {
    "sitecore": lambda **own: Sitecore(**{"client_key": "key", "target_url": URL} | own),
    "edge": lambda **own: EDGE(**{"edge_context_id": "ctx1", "site_name": "shop"} | own),
    "customerio": lambda **own: CustomerIO(**{"write_key": "key"} | own),
    "datalyr": lambda **own: Datalyr(**{"workspace_id": "ws"} | own),
    "segment": lambda **own: Segment(**{"write_key": "key"} | own),
    "webhook": lambda **own: Webhook(**{"url": URL, "secret": SECRET} | own),
}
OWN = {
    "sitecore": [
        *("client_key", "target_url", "point_of_sale", "include_utm_parameters", "requested_at", "adopt_edge_cookie"),
        "name",
    ],
    "edge": [
        *("edge_context_id", "site_name", "edge_url", "dialect", "personalize_cookie", "adopt_engage_cookie"),
        *("include_utm_parameters", "name"),
    ],
    "customerio": ["write_key", "region", "target_url", "gzip", "strict", "name"],
    "datalyr": ["workspace_id", "api_key", "form", "target_url", "page_view_name", "share_visitors", "name"],
    "segment": ["write_key", "target_url", "gzip", "name"],
    "webhook": ["url", "secret", "batch_size", "allow_private_addresses", "name"],
}


class Hostile:
    """Cannot be compared, written or asked, as arrays and lazy objects of an app may be."""

    def _raise(self, *args: object) -> Any:
        raise RuntimeError("no")

    __eq__ = __bool__ = __iter__ = __len__ = __repr__ = __str__ = _raise
    __hash__ = None  # type: ignore[assignment]


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20)
    | st.sampled_from(
        ["\x00", "a\r\nb", "\ud800", "x" * 5000, "\u202e", 10**400, -(10**400), Decimal("5"), Path("/x"), Hostile()]
    )
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=2)


def is_refused_or_taken(make: Callable[[], object]) -> bool:
    try:
        make()
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in SettingsValues.__annotations__ if name != "outbox"])
@settings(max_examples=40)
@given(value=VALUES)
def test_settings(name: str, value: Any) -> None:
    is_refused_or_taken(lambda: Tracking(**{name: value}))


@settings(max_examples=40)
@given(value=VALUES)
def test_the_outbox(value: Any) -> None:
    is_refused_or_taken(lambda: make_settings({"outbox": value}))


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in OWN.items() for name in names])
@settings(max_examples=40)
@given(value=VALUES)
def test_settings_of_destinations(kind: str, name: str, value: Any) -> None:
    is_refused_or_taken(lambda: MAKERS[kind](**{name: value}))
    is_refused_or_taken(lambda: Tracking.from_mapping({"sitecore" if kind == "edge" else kind: {name: value}}))


@pytest.mark.parametrize(
    "name",
    [
        "edge_context_id", "site_name", "edge_url", "dialect", "personalize_cookie", "adopt_engage_cookie",
        "adopt_edge_cookie", "include_utm_parameters", "requested_at", "client_key",
    ],
)  # fmt: skip
@settings(max_examples=40)
@given(value=VALUES)
def test_settings_of_the_edge_form(name: str, value: Any) -> None:
    own: dict[str, Any] = {"edge_context_id": "ctx1", "site_name": "shop", name: value}
    make: Any = Sitecore
    is_refused_or_taken(lambda: make(**own))
    is_refused_or_taken(lambda: Tracking.from_mapping({"sitecore": own}))


@settings(max_examples=40)
@given(value=VALUES)
def test_mappings(value: Any) -> None:
    is_refused_or_taken(lambda: Tracking.from_mapping(value))
    is_refused_or_taken(lambda: Tracking.from_mapping({"sitecore": value}))
    is_refused_or_taken(lambda: Tracking.from_mapping({"customerio": {"eu": value}}))
    is_refused_or_taken(lambda: Tracking.from_mapping({5: value}))  # type: ignore[dict-item]
    is_refused_or_taken(lambda: init_server(client_key="key", target_url=URL, cookie_expiry_days=value))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " shop",
        "shop ",
        "a\nb",
        "a\r\nINFO all is well",
        "a\x1b[31m",
        "\x00",
        "\ud800",
        "\u202e",
        "x" * 65,
        5,
        None,
    ],
)
def test_the_name_of_a_destination_is_short_printable_text(kind: str, name: Any) -> None:
    with pytest.raises(SettingsError, match="name: "):
        MAKERS[kind](name=name)


@pytest.mark.parametrize("name", ["eu", "new site", "x" * 64, "m\u00fcnchen", "a/b", "crm-2"])
def test_names_as_people_give_them(name: str) -> None:
    assert Tracking(MAKERS["customerio"](name=name))._client.destination_names == (name,)


WRONG_TARGETS = [
    "http://169.254.169.254", "https://169.254.169.254", "http://169.254.0.1:8600", "http://169.254.169.254.",
    "http://[fe80::1]", "http://[::ffff:169.254.169.254]", "http://[64:ff9b::a9fe:a9fe]", "https://[2002:a9fe:a9fe::1]",
    "http://[fd00:ec2::254]", "https://100.100.100.200", "http://metadata", "https://metadata.google.internal",
    "https://METADATA.google.internal.", "http://instance-data", "http://2852039166", "http://0xa9fea9fe",
    "http://0251.0376.0251.0376", "https://169.254.43518", "https://127.1", "https://0", "https://1.2.3.4.5",
    "https://256.1.1.1", "http://224.0.0.1", "https://user:secret@api.example", "https://user@api.example",
    "https://api.example#", "https://api.example/#part", "https://api.example?", "https://api.example/?a=1", "https://",
    "https:///path", "https://api.example:0", "https://api.example:99999", "https://api.example:-1",
    "https://api.example:", "https://api.example:port", "https://api.example:\uff18", "https://b\u00fccher.example",
    "https://\u210c.example", "https://api.example/\u00e4", "https://api.exa\nmple", "https://api.example/\x00",
    "https://api.example/\r\nHost: other", "https://api.example/\x7f", "https://api..example", "https://.example",
    "https://-api.example", "https://api-.example", f"https://{'a' * 64}.example", f"https://{'a.' * 200}example",
    f"https://api.example/{'a' * 5000}", "https://api\\example", "https://api.example\\@other", "https://api.example;x",
    "https://api example", "https://[::1", "https://[zz]", "https://::1", "ftp://api.example", "//api.example",
    "api.example", "javascript:alert(1)", "http://api.example", "https://%61pi.example", "https://[fe80::1%25eth0]",
]  # fmt: skip


@pytest.mark.parametrize("target", WRONG_TARGETS)
@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "webhook"])
def test_where_nothing_is_to_be_sent(kind: str, target: str) -> None:
    setting = "edge_url" if kind == "edge" else "target_url"
    with pytest.raises(SettingsError) as caught:
        MAKERS[kind](**{setting: target})
    assert caught.value.setting == setting
    assert "secret" not in str(caught.value).replace("secrets", "")


@pytest.mark.parametrize("target", [target for target in WRONG_TARGETS if "?" not in target])
@pytest.mark.parametrize("allow_private_addresses", [True, False])
def test_where_no_webhook_is_posted(target: str, allow_private_addresses: bool) -> None:
    with pytest.raises(SettingsError) as caught:
        MAKERS["webhook"](url=target, allow_private_addresses=allow_private_addresses)
    assert caught.value.setting == "url"
    assert "secret" not in str(caught.value).replace("secrets", "")


@pytest.mark.parametrize("given", [Hostile(), 5, "myproject", "x" * 5000, "nowhere.at_all:Store", object, None, {}])
def test_what_is_no_class_of_a_destination(given: Any) -> None:
    with pytest.raises(SettingsError):
        Tracking.from_mapping({"store": {"class": given, "url": "u"}})


TARGETS = [
    "https://api-engage-eu.sitecorecloud.io", "https://API.example:8443/proxy/", "https://api.example.",
    "http://localhost:8600", "http://collector:8600", "http://my_service:80", "http://127.0.0.1", "http://[::1]:8600",
    "http://10.1.2.3", "http://192.168.0.7:80", "https://203.0.113.7", "https://[2001:db8::1]",
    "  https://a.example ", "https://xn--bcher-kva.example", "https://api.example/a%20b", "http://a.localhost",
    "http://0.0.0.0:8600",
]  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
def test_where_it_is(target: str) -> None:
    assert checked_target(target) == target.strip().rstrip("/")


@given(host=st.ip_addresses(v=4, network="169.254.0.0/16") | st.ip_addresses(v=6, network="fe80::/10"))
def test_no_link_local_address(host: Any) -> None:
    written = f"[{host}]" if host.version == 6 else str(host)
    for scheme in ("http", "https"):
        with pytest.raises(SettingsError, match="expected that of the service"):
            checked_target(f"{scheme}://{written}:8600/path")


def outbox_refusal(directory: Path | str) -> str:
    with pytest.raises(SettingsError) as caught:
        Tracking(outbox=f"sqlite://{directory}")
    assert str(caught.value).startswith("outbox: ")
    return str(caught.value)


def test_an_outbox_that_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "expected a directory" in outbox_refusal(file)
    assert "expected a directory" in outbox_refusal(file / "below")
    assert "no control characters" in outbox_refusal(f"{tmp_path}/a\x00b")
    assert "no control characters" in outbox_refusal(f"{tmp_path}/a\nb")
    assert "no control characters" in outbox_refusal(f"{tmp_path}/\udcff")
    assert "File name too long" in outbox_refusal(tmp_path / ("x" * 300))
    assert "at most 4,000 characters" in outbox_refusal("/x" * 5000)


@pytest.mark.parametrize("name", ["", "below", "below/that"])
def test_an_outbox_that_may_not_be_written(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # who may do all; what the system would say of another is said for it
        monkeypatch.setattr(os, "access", may_not := lambda *args, **options: False)
        monkeypatch.setattr(os, "supports_effective_ids", {may_not})
    tmp_path.chmod(0o500)
    try:
        assert "cannot be written by the user" in outbox_refusal(tmp_path / name)
    finally:
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == [], "nothing is made before the first event"


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("browser_id_timeout", float("nan"), "found nan, expected a number of seconds"),
        ("close_timeout", float("inf"), "found inf, expected a number of seconds"),
        ("retry_age", -0.1, "found -0.1, expected a number of seconds"),
        ("retry_base", "1", "found '1', expected a number of seconds"),
        ("retry_cap", 10**400, "found a huge number, expected a number of seconds"),
        ("request_timeout", 0, "found 0, in which no service can respond"),
        ("concurrency", 10**6, "expected a whole number from 1 to 1,000"),
        ("concurrency", "5", "found '5', expected a whole number"),
        ("max_bytes", sys.maxsize, "expected a whole number from 1 to 1,000,000,000,000,000"),
        ("max_events", 0, "expected a whole number from 1"),
        ("browser_id_pool_size", 2.0, "found 2.0, expected a whole number from 0 to 100"),
        ("channel", "WEB\r", "no control characters"),
        ("currency", "x" * 256, "expected at most 255 characters"),
        ("identity_provider", "\ud800", "no control characters"),
        ("hash_traits", ["email\n"], "without control characters"),
        ("secret_key", "a key with half a pair \ud800", "expected text or bytes of at least 8 characters"),
        ("gpc", Hostile(), "gpc: "),
    ],
    ids=range(17),
)
def test_the_words(name: str, value: Any, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings({name: value})
    assert words in str(caught.value)
