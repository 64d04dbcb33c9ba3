"""Every setting is checked when it is made; what is wrong is said by name and never shows a key."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest

from passerby import CustomerIO, Secret, SettingsError, Sitecore, Tracking, init_server
from passerby.cli.doctor.settings import check_settings
from passerby.cli.outbox.location import find_directory
from passerby.collector.command import addresses
from passerby.collector.outbox_folder import find_outbox
from passerby.http.set_cookie import CookieAttributes
from passerby.settings.env import read_environment
from passerby.settings.setting import (
    Choice,
    PlainFunction,
    Seconds,
    SettingType,
    ShortText,
    Switch,
    TextList,
    Whole,
)
from passerby.settings.settings import SETTINGS, Settings, SettingsValues, make_settings
from tests.making import BROWSER_ID, NAVIGATION, make_scope
from tests.settings_table import COMMAND, SOURCE, source_as_written

SECRET = "s3cr3t-key-of-this-shop"


# What a browser keeps no cookie for, or takes for something else.
NO_DOMAINS = [
    "co.uk", ".co.uk", "CO.UK", "com.au", "org.br", "ac.jp", "gov.in", "anything.ck", "github.io", "herokuapp.com",
    "com", ".com", "uk", "10.0.0.1", ".10.0.0.1", "1.2.3.4.", "[::1]", "::1", "fe80::1", "1.0x7f", "a.127",
    "shop.example:8000", "https://shop.example", "//shop.example", "shop.example/", "user@shop.example",
    "..shop.example", "shop..example", "shop.example.", ".", "..", " shop.example", "shop.example ", "shop.example\n",
    "*.shop.example", "-shop.example", "shop_1.example", "bücher.example", f"{'a' * 64}.example",
    "a." * 130 + "example", "a" * 5000 + ".example",
]  # fmt: skip


def refusal(**settings: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        make_settings({"secret_key": SECRET} | settings)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_the_defaults_are_safe() -> None:
    settings = make_settings({})
    assert settings.gpc == "respect"
    assert settings.ip == "truncate"
    assert settings.bots == "drop"
    assert settings.trusted_proxies == ()
    assert settings.cookie_attributes.same_site == "lax"
    assert not settings.remembers_users


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            (name, value)
            for name in (
                "on_invalid", "gpc", "bots", "ip", "on_bad_signature", "outbox", "sqlite_synchronous", "when_full",
                "sensitive_traits",
            )
            for value in ("other", None)
        ),
        *(("identity_max_age", value) for value in (0, 0.5)),
        *(("on_missing_signature", value) for value in ("other", "keep", True)),
        *(("outbox", f"sqlite:{path}") for path in ("", "//", "///", "////", "outbox", "//host/outbox")),
        *(
            (name, value)
            for name in (
                "identity_max_age", "cookie_renew_after", "browser_id_timeout", "store_timeout", "close_timeout",
                "request_timeout",
                "retry_base", "retry_cap", "retry_age",
            )
            for value in (-1, "5", None, True, float("nan"), float("inf"), 1e9)
            if (name, value) != ("store_timeout", None)
        ),
        *(
            (name, value)
            for name in ("concurrency", "max_events", "max_bytes")
            for value in (0, -1, 1.5, "5", True)
        ),
        *((name, None) for name in ("concurrency", "max_bytes")),
        *(("browser_id_pool_size", value) for value in (-1, 101, True, "2", None, 1.5)),
        *((name, 5) for name in ("channel", "currency", "language", "identity_provider")),
        *((name, "yes") for name in ("infer_from_request", "auto_page_views", "set_cookie")),
        ("consent", "granted"),
        ("consent", True),
        *(("page_name", value) for value in ("title", None, 5, b"route")),
        ("redact_url", "mask"),
        ("redact_url", True),
        *(("trusted_proxies", value) for value in ("10.0.0.0/8", -1, 101, True, 1.5, None, [5], [None], ["**"])),
        *(("trusted_proxy_headers", value) for value in ("forwarded", 5, None, [5], ["x-real-ip"])),
        *(("ignored_paths", value) for value in ("/api", 5, None, [5], [None])),
        *(("hash_traits", value) for value in ("email", 5, None, [5], [None])),
        *(("cookie_name", value) for value in ("", "a b", "a;b", "ä", None, "x" * 256, "x" * 5000, "Path", "max-age")),
        *(("cookie_domain", value) for value in ("localhost", "127.0.0.1", "a;b.c", 5)),
        *(("cookie_domain", value) for value in NO_DOMAINS),
        *(("cookie_path", value) for value in ("", "shop", "/;", None, "/a\n", "/a\x00b", "/\x7f", "/ä", "/a ")),
        ("cookie_path", "/" + "x" * 1024),
        *(("cookie_max_age", value) for value in (0, -1, 34_560_001, 1.5, "60", True, None)),
        *(("cookie_same_site", value) for value in ("None", "", None)),
        *(("cookie_secure", value) for value in ("yes", None, 0, 1)),
        ("cookie_partitioned", True),
        *(("secret_key", value) for value in ("", "short", b"short", 5, {SECRET: 1})),
        ("secret_key", []),
        ("secret_key", [SECRET, "short"]),
        ("secret_key", [SECRET, None]),
    ],
    ids=repr,
)  # fmt: skip
def test_a_wrong_value_is_refused_by_name(name: str, value: Any) -> None:
    assert name in refusal(**{name: value})


@pytest.mark.parametrize("slashes", ["///", "////"])
def test_the_outboxs_directory_is_named_from_the_root_on(slashes: str) -> None:
    assert make_settings({"outbox": f"sqlite:{slashes}var/lib/shop/"}).outbox_directory == "/var/lib/shop"
    assert make_settings({}).outbox_directory is None


def test_what_calls_drop_they_cannot_raise() -> None:
    assert "when_full" in refusal(when_full="raise", on_invalid="drop")


def test_an_unknown_setting_is_refused_by_name() -> None:
    assert "colour: found no setting of that name; there are secret_key, " in refusal(colour="red")


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"cookie_same_site": "none", "cookie_secure": False}, "cookie_same_site"),
        ({"cookie_partitioned": True, "cookie_same_site": "lax"}, "cookie_partitioned"),
        ({"on_missing_signature": "reissue", "set_cookie": False}, "on_missing_signature"),
        ({"cookie_name": "__Host-x", "cookie_domain": "shop.example"}, "cookie_name"),
        ({"cookie_name": "__Host-x", "cookie_domain": ".shop.example"}, "cookie_name"),
        ({"cookie_name": "__Host-x", "cookie_path": "/shop"}, "cookie_name"),
        ({"cookie_name": "__host-id", "cookie_path": "/shop/"}, "cookie_name"),
        ({"cookie_name": "__Host-Http-x", "cookie_domain": "shop.example"}, "cookie_name"),
        ({"cookie_name": "__Host-x", "cookie_secure": False}, "cookie_secure"),
        ({"cookie_name": "__Secure-x", "cookie_secure": False}, "cookie_secure"),
        ({"cookie_name": "__SECURE-visitor", "cookie_secure": False}, "cookie_secure"),
        ({"cookie_name": "__Http-x", "cookie_secure": False}, "cookie_secure"),
    ],
)
def test_settings_that_do_not_fit_each_other(settings: dict[str, Any], named: str) -> None:
    assert named in refusal(**settings)


@pytest.mark.parametrize(
    "domain",
    ["shop.example", ".shop.example", "Shop.co.uk", "a.b.github.io", "xn--bcher-kva.example", "co.example", "0x.be"],
)
def test_domains_of_sites(domain: str) -> None:
    assert make_settings({"cookie_domain": domain}).cookie_attributes.domain == domain


@pytest.mark.parametrize("name", ["__Host-x", "__Secure-x", "__secure-visitor", "__Host-Http-x", "__Http-x"])
def test_a_prefix_of_the_name_asks_for_secure(name: str) -> None:
    """Without it the browser refuses the cookie, also on http://localhost, where "auto" leaves it out."""
    tracking = Tracking(CustomerIO(write_key="k"), secret_key=SECRET, cookie_name=name)
    scope = make_scope("/", NAVIGATION, scheme="http", host="localhost:8000")
    headers: list[Any] = []
    tracking.handle_cookie_sync(scope, headers)
    lines = [value.decode() for key, value in headers if key == b"set-cookie"]
    assert [line.partition("=")[0] for line in lines] == [name, f"{name}_sig"]
    assert all("; Secure" in line and "Domain" not in line and "; Path=/;" in line for line in lines)


def test_a_client_key_of_absurd_length_is_refused() -> None:
    with pytest.raises(SettingsError, match="client_key"):
        Sitecore(client_key="k" * 5000, target_url="http://localhost")


def test_cookies_are_set_as_the_settings_say_by_default() -> None:
    assert make_settings({}).cookie_attributes == CookieAttributes()


@pytest.mark.parametrize(
    ("key", "keys"),
    [(None, ()), (SECRET, (SECRET,)), (b"12345678", (b"12345678",)), ([SECRET, "older-key"], (SECRET, "older-key"))],
)
def test_keys(key: Any, keys: tuple[str | bytes, ...]) -> None:
    settings = make_settings({"secret_key": key})
    assert settings.secret_keys == keys
    assert settings.remembers_users is bool(keys)


def test_no_repr_shows_a_secret() -> None:
    settings = make_settings({"secret_key": SECRET})
    tracking = Tracking(Sitecore(client_key="client-key-7", target_url="http://localhost"), secret_key=SECRET)
    for shown in (repr(settings), str(settings), repr(tracking), repr(tracking.for_visitor(BROWSER_ID))):
        assert SECRET not in shown
        assert "client-key-7" not in shown


def test_names_for_completion_are_those_of_the_settings() -> None:
    assert list(SettingsValues.__annotations__) == [one.name for one in fields(Settings)]
    assert SOURCE.read_text(encoding="utf-8") == source_as_written(), f"run `{COMMAND}`"


def test_types_for_completion_are_those_of_the_settings() -> None:
    assert get_type_hints(SettingsValues) == {name: get_type_hints(Settings)[name] for name in SETTINGS}


def members_of(hint: Any) -> set[Any]:
    """Return the types of which a type is the union."""
    is_union = get_origin(hint) in (Union, UnionType)
    return set(get_args(hint)) if is_union else {hint}


def is_taken(name: str, value: object) -> bool:
    try:
        SETTINGS[name].check(name, value)
    except SettingsError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name, kind in SETTINGS.items() if type(kind) is not SettingType])
def test_what_type_checkers_see_is_what_is_checked(name: str) -> None:
    members, kind = members_of(get_type_hints(Settings)[name]), SETTINGS[name]
    assert is_taken(name, getattr(Settings(), name))
    assert is_taken(name, None) is (NoneType in members)
    members.discard(NoneType)
    match kind:
        case Choice():
            assert {text for one in members for text in get_args(one)} == {*kind.choices} - {None}
        case Switch():
            assert members == {bool}
        case Seconds():
            assert members == {float}
        case Whole():
            assert members == {int}
        case ShortText():
            assert members == {str}
        case TextList():
            assert {get_args(one) for one in members - {int}} == {(str,)}
            assert is_taken(name, 5) is (int in members)
        case PlainFunction():
            literals = [one for one in members if get_origin(one) is Literal]
            assert kind.names == tuple(text for one in literals for text in get_args(one))
        case _:
            pytest.fail(f"say here which type {type(kind).__name__} stands for")


class TestTracking:
    @pytest.mark.parametrize("given", ["sitecore", None, object(), {"name": "x"}])
    def test_what_is_no_destination(self, given: Any) -> None:
        with pytest.raises(SettingsError, match="where a destination was expected"):
            Tracking(given)

    def test_two_of_one_name(self) -> None:
        one = Sitecore(client_key="a", target_url="http://localhost")
        with pytest.raises(SettingsError, match="the same name"):
            Tracking(one, Sitecore(client_key="b", target_url="http://localhost"))

    def test_two_that_issue_ids(self) -> None:
        one = Sitecore(client_key="a", target_url="http://localhost")
        with pytest.raises(SettingsError, match="several destinations that own"):
            Tracking(one, Sitecore(client_key="b", target_url="http://localhost", name="other"))

    def test_a_wrong_network(self) -> None:
        with pytest.raises(SettingsError, match="trusted_proxies"):
            Tracking(trusted_proxies=["nonsense"])

    def test_without_a_key_there_is_one_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        Tracking()
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "secret_key" in caplog.text


class TestInitServer:
    def make(self, **settings: Any) -> Tracking:
        return init_server(**{"client_key": "key", "target_url": "http://localhost", "secret_key": SECRET} | settings)

    @pytest.mark.parametrize(
        ("settings", "code"),
        [
            ({"client_key": ""}, "MV-0001"),
            ({"target_url": ""}, "MV-0002"),
            ({"point_of_sale": " "}, "MV-0009"),
            ({"target_url": "x"}, "IV-0001"),
            ({"cookie_expiry_days": -1}, None),
            ({"cookie_expiry_days": "many"}, None),
            ({"cookie_expiry_days": float("nan")}, None),
            ({"cookie_expiry_days": 0.000001}, None),
        ],
    )
    def test_what_is_wrong(self, settings: dict[str, Any], code: str | None) -> None:
        with pytest.raises(SettingsError) as caught:
            self.make(**settings)
        assert caught.value.code == code
        assert SECRET not in str(caught.value)

    @pytest.mark.parametrize(
        ("days", "seconds"), [(None, 34_560_000), (0, 34_560_000), (1, 86_400), (0.5, 43_200), (730, 34_560_000)]
    )
    def test_days(self, days: Any, seconds: int) -> None:
        assert self.make(cookie_expiry_days=days)._settings.cookie_max_age == seconds

    def test_the_browser_sets_the_cookie_unless_told_otherwise(self) -> None:
        assert not self.make()._settings.set_cookie
        assert self.make(force_server_cookie_mode=True)._settings.set_cookie


class TestSources:
    def test_a_mapping(self) -> None:
        tracking = Tracking.from_mapping(
            {"sitecore": {"client_key": "key", "target_url": "http://localhost"}, "secret_key": SECRET}
        )
        assert repr(tracking) == "<Tracking to sitecore>"

    def test_a_mapping_of_several_systems_and_of_several_of_one_kind(self) -> None:
        tracking = Tracking.from_mapping(
            {
                "datalyr": {"workspace_id": "ws_1", "form": "events"},
                "customerio": {
                    "eu": {"write_key": "sk_eu_1"},
                    "us": {"write_key": Secret("sk_us_1"), "gzip": True},
                },
                "sitecore": {"client_key": "key", "target_url": "http://localhost"},
                "secret_key": SECRET,
            }
        )
        assert tracking._client.destination_names == ("sitecore", "eu", "us", "datalyr")
        assert tracking._client.destinations_for["group"] == ("eu", "us", "datalyr")

    def test_the_environment_of_several(self) -> None:
        environ = {
            "PASSERBY_CUSTOMERIO_WRITE_KEY": "old",
            "PASSERBY_CUSTOMERIO_NEW_SITE_WRITE_KEY": "sk_eu_1",
            "PASSERBY_CUSTOMERIO_NEW_SITE_STRICT": "off",
            "PASSERBY_DATALYR_WORKSPACE_ID": "ws_1",
            "PASSERBY_DATALYR_PAGE_VIEW_NAME": "pageview",
            "PASSERBY_SECRET_KEY": SECRET,
        }
        assert Tracking.from_env(environ)._client.destination_names == ("customerio", "new_site", "datalyr")

    def test_names_must_differ(self) -> None:
        with pytest.raises(SettingsError, match="two destinations have the same name"):
            Tracking(CustomerIO(write_key="sk_eu_1"), CustomerIO(write_key="sk_us_1"))

    @pytest.mark.parametrize(
        "values",
        [
            {"sitecore": "key"},
            {"sitecore": {}},
            {"sitecore": {"client_key": "key", "target_url": "http://localhost", "colour": "red"}},
            {"colour": "red"},
        ],
    )
    def test_a_wrong_mapping(self, values: dict[str, Any]) -> None:
        with pytest.raises(SettingsError):
            Tracking.from_mapping(values)

    def test_the_environment(self) -> None:
        tracking = Tracking.from_env(
            {
                "PASSERBY_SITECORE_CLIENT_KEY": "key",
                "PASSERBY_SITECORE_TARGET_URL": "http://localhost",
                "PASSERBY_SITECORE_INCLUDE_UTM_PARAMETERS": "off",
                "PASSERBY_SECRET_KEY": f"{SECRET}, an-older-key",
                "PASSERBY_CURRENCY": "EUR",
                "PASSERBY_INFER_FROM_REQUEST": "false",
                "PASSERBY_BROWSER_ID_TIMEOUT": "0.5",
                "PASSERBY_CONCURRENCY": "3",
                "PASSERBY_MAX_EVENTS": "500",
                "PASSERBY_COOKIE_SECURE": "true",
                "PASSERBY_TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1",
                "OTHER": "ignored",
            }
        )
        settings = tracking._settings
        assert settings.secret_keys == (SECRET, "an-older-key")
        assert (settings.currency, settings.infer_from_request, settings.browser_id_timeout, settings.concurrency) == (
            "EUR",
            False,
            0.5,
            3,
        )
        assert settings.max_events == 500
        assert settings.cookie_secure is True
        assert settings.trusted_proxies == ["10.0.0.0/8", "192.0.2.1"]
        assert Tracking.from_env({"PASSERBY_COOKIE_SECURE": "auto"})._settings.cookie_secure == "auto"

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("PASSERBY_COLOUR", "red"),
            ("PASSERBY_INFER_FROM_REQUEST", "maybe"),
            ("PASSERBY_COOKIE_SECURE", "maybe"),
            ("PASSERBY_CONCURRENCY", "many"),
            ("PASSERBY_BROWSER_ID_TIMEOUT", "soon"),
            ("PASSERBY_CONSENT", "granted"),
        ],
    )
    def test_a_wrong_environment(self, variable: str, value: str) -> None:
        with pytest.raises(SettingsError, match=variable):
            Tracking.from_env({variable: value})


# What Kubernetes 1.33 and Docker's links set in the containers beside a Service of that name.
SERVICE = {
    "{}_SERVICE_HOST": "10.96.14.7",
    "{}_SERVICE_PORT": "8600",
    "{}_SERVICE_PORT_HTTP": "8600",
    "{}_SERVICE_PORT_METRICS_2": "9100",
    "{}_PORT": "tcp://10.96.14.7:8600",
    "{}_PORT_8600_TCP": "tcp://10.96.14.7:8600",
    "{}_PORT_8600_TCP_PROTO": "tcp",
    "{}_PORT_8600_TCP_PORT": "8600",
    "{}_PORT_8600_TCP_ADDR": "10.96.14.7",
    "{}_PORT_53_UDP": "udp://10.96.14.7:53",
    "{}_PORT_53_UDP_ADDR": "fd00::7",
    "{}_PORT_36412_SCTP": "sctp://10.96.14.7:36412",
}
TEXT_SETTINGS = {
    "PASSERBY_IDENTITY_PROVIDER": "CRM",
    "PASSERBY_CHANNEL": "WEB",
    "PASSERBY_OUTBOX": "memory",
    "PASSERBY_ON_INVALID": "drop",
    "PASSERBY_AUTO_PAGE_VIEWS": "true",
    "PASSERBY_COOKIE_SECURE": "false",
    "PASSERBY_BROWSER_ID_TIMEOUT": "0.5",
    "PASSERBY_CONCURRENCY": "3",
    "PASSERBY_IGNORED_PATHS": "/static/,/health",
    "PASSERBY_SITECORE_CLIENT_KEY": "key",
    "PASSERBY_SITECORE_TARGET_URL": "https://api.example.com",
    "PASSERBY_CUSTOMERIO_EU_WRITE_KEY": "key",
    "PASSERBY_CUSTOMERIO_EU_STRICT": "off",
}


class Warehouse:
    """A destination whose own settings are called as some of passerby's are."""

    def __init__(self, secret_key: str, hash_traits: bool = False, cookie_secure: str = "no") -> None: ...


class TestEnvironment:
    def test_a_destination_says_of_which_type_its_own_settings_are(self) -> None:
        environ = {
            "PASSERBY_WAREHOUSE_CLASS": f"{__name__}:Warehouse",
            "PASSERBY_WAREHOUSE_SECRET_KEY": "one, key",
            "PASSERBY_WAREHOUSE_HASH_TRAITS": "yes",
            "PASSERBY_WAREHOUSE_COOKIE_SECURE": "no",
        }
        own = {"secret_key": "one, key", "hash_traits": True, "cookie_secure": "no"}
        assert read_environment(environ)["warehouse"] == {"class": f"{__name__}:Warehouse"} | own

    @pytest.mark.parametrize("name", ["identity_max_age", "cookie_renew_after", "browser_id_timeout", "retry_age"])
    def test_seconds_may_be_fractions(self, name: str) -> None:
        assert read_environment({f"PASSERBY_{name.upper()}": "1.5"}) == {name: 1.5}

    @pytest.mark.parametrize(
        "service", ["passerby", "passerby-collector", "passerby-sitecore", "passerby-2", "passerby-customerio-eu"]
    )
    def test_variables_of_a_service_are_not_ours(self, service: str) -> None:
        prefix = service.upper().replace("-", "_")
        environ = {name.format(prefix): value for name, value in SERVICE.items()}
        assert read_environment(environ) == {}
        assert read_environment(environ | {"PASSERBY_CHANNEL": "WEB"}) == {"channel": "WEB"}
        own = {"PASSERBY_COLLECTOR_URL", "PASSERBY_SITECORE_TARGET_URL"}
        assert addresses(environ, "http://localhost:8600").keys() == own
        assert check_settings(None, environ).message.startswith("none in PASSERBY_*")

    @pytest.mark.parametrize(
        ("variable", "value"),
        [
            ("PASSERBY_PORT", "8600"),
            ("PASSERBY_COLLECTOR_PORT", "http://10.96.14.7"),
            ("PASSERBY_SERVICE_NAME", "shop"),
            ("PASSERBY_COLLECTOR_HOST", "10.96.14.7"),
            ("PASSERBY_PORT_HTTP_TCP", "tcp://10.96.14.7:80"),
            ("PASSERBY_CHANEL", "WEB"),
            ("PASSERBY_SITECORE_SERVICE_HOSTS", "10.96.14.7"),
        ],
    )
    def test_what_is_no_setting_is_still_refused(self, variable: str, value: str) -> None:
        with pytest.raises(SettingsError, match=f"{variable}: found no setting"):
            Tracking.from_env({variable: value})

    @pytest.mark.parametrize(("before", "after"), [("", "\r"), (" ", "\n"), ("\t", "\r\n"), ("\u00a0", "\u2003 ")])
    def test_blanks_around_a_value_do_not_count(self, before: str, after: str) -> None:
        padded = {name: f"{before}{value}{after}" for name, value in TEXT_SETTINGS.items()}
        assert read_environment(padded) == read_environment(TEXT_SETTINGS)

    @pytest.mark.parametrize("value", ["", " ", "\r\n", "\t"])
    def test_an_empty_value_is_none(self, value: str) -> None:
        settings = {f"PASSERBY_{name.upper()}": value for name in SettingsValues.__annotations__ if name != "consent"}
        assert read_environment(settings | dict.fromkeys(TEXT_SETTINGS, value)) == {}
        assert repr(Tracking.from_env(settings)) == "<Tracking to nowhere>"

    def test_commands_read_it_alike(self) -> None:
        environ = {"PASSERBY_OUTBOX": " sqlite:///var/lib/shop/outbox\r"}
        assert find_directory(None, None, environ) == Path("/var/lib/shop/outbox")
        assert find_outbox(None, {"PASSERBY_OUTBOX": "memory\n"}) is None


class TestSpelling:
    """An error names a setting as its author wrote it."""

    def test_in_python(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Tracking(cookie_path="shop")
        assert caught.value.setting == "cookie_path"
        assert str(caught.value).startswith("cookie_path: expected a path")

    def test_the_vendors_words_stand_as_they_are(self) -> None:
        with pytest.raises(SettingsError) as caught:
            Sitecore(client_key="", target_url="")
        assert (caught.value.setting, caught.value.code) == ("client_key", "MV-0001")
        assert str(caught.value) == '[MV-0001] "clientKey" is required.'

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"cookie_path": "shop"}, "<cookie_path>: expected a path"),
            ({"colour": "red"}, "<colour>: found no setting of that name; there are secret_key, "),
            ({"sitecore": {"client_key": "key"}}, '<sitecore.target_url>: [MV-0002] "targetURL" is required.'),
            ({"sitecore": {"clientKey": "key"}}, "<sitecore.clientKey>: found no setting of that name; there are "),
            (
                {"sitecore": {"client_key": "", "target_url": "https://api.example.com"}},
                '<sitecore.client_key>: [MV-0001] "clientKey" is required.',
            ),
            ({"sitecore": 5}, "<sitecore>: found int, expected a mapping"),
            ({"customerio": {}}, "<customerio.write_key>: found none, expected one"),
            ({"customerio": {"eu": {"region": "eu"}}}, "<customerio.eu.write_key>: found none, expected one"),
            ({"customerio": {"eu": {"write_key": ""}}}, "<customerio.eu.write_key>: expected the source's API key"),
            ({"trusted_proxies": ["proxy"]}, "<trusted_proxies>: found 'proxy', expected an address"),
            ({"auto_page_views": "yes"}, "<auto_page_views>: found 'yes', expected True or False"),
        ],
    )
    def test_in_a_mapping(self, values: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError) as caught:
            Tracking.from_mapping(values, lambda name: f"<{name}>")
        assert str(caught.value).startswith(words)

    @pytest.mark.parametrize(
        ("variable", "value", "words"),
        [
            ("PASSERBY_COOKIE_PATH", "shop", "PASSERBY_COOKIE_PATH: expected a path"),
            (
                "PASSERBY_SITECORE_TARGET_URL",
                "ftp://x",
                'PASSERBY_SITECORE_CLIENT_KEY: [MV-0001] "clientKey" is required.',
            ),
            ("PASSERBY_SITECORE_COLOUR", "red", "PASSERBY_SITECORE_COLOUR: found no setting of that name"),
            ("PASSERBY_CUSTOMERIO_EU_REGION", "eu", "PASSERBY_CUSTOMERIO_EU_WRITE_KEY: found none, expected one"),
            ("PASSERBY_CUSTOMERIO_EU_WRITE_KEY", "a b", "PASSERBY_CUSTOMERIO_EU_WRITE_KEY: expected the source's API"),
            ("PASSERBY_CUSTOMERIO_STRICT", "maybe", "PASSERBY_CUSTOMERIO_STRICT: expected true or false"),
            ("PASSERBY_DATALYR_API_KEY", "dk_1", "PASSERBY_DATALYR_WORKSPACE_ID: found none, expected text"),
        ],
    )
    def test_in_the_environment(self, variable: str, value: str, words: str) -> None:
        with pytest.raises(SettingsError) as caught:
            Tracking.from_env({variable: value})
        assert str(caught.value).startswith(words)

    def test_what_is_about_no_setting_in_particular_stays_as_it_is(self) -> None:
        error = SettingsError("two destinations have the same name")
        assert error.spelled(str.upper) is error
