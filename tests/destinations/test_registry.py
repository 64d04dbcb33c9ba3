"""Destinations of others: found by name and by path, configured from everywhere, checked at start, made again."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, cast

import flask
import pytest
from django.test import override_settings

import tests.django_site  # noqa: F401 - sets Django up
from passerby import CustomerIO, Datalyr, Secret, Segment, SettingsError, Sitecore, Tracking, Webhook
from passerby.destinations import Destination, DestinationResponse, OutgoingRequest, SendResult
from passerby.destinations.registry import BUILT_IN, clear_cache, find, load, registered_names
from passerby.destinations.responses import classify_status
from passerby.destinations.spec import DestinationSpec, spec_of
from passerby.django.conf import get_tracking
from passerby.events.event import Event, EventKind
from passerby.flask import Passerby
from passerby.values.outcome import Delivered
from tests.making import BROWSER_ID

ROOT = Path(__file__).parents[2]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY = {"secret_key": "a key for tests"}
WAREHOUSE = "tests.destinations.test_registry:Warehouse"


class Warehouse:
    """A destination of an app's."""

    last: ClassVar[Warehouse]
    origin = "http://warehouse"
    kinds: frozenset[EventKind] = frozenset({"event"})
    batch_bytes = 0

    def __init__(
        self,
        *,
        url: str,
        token: str | Secret = "",
        batch_size: int = 1,
        ratio: float | None = None,
        verbose: bool = False,
        tables: list[str] | None = None,
        extra: dict[str, Any] | None = None,
        name: str = "warehouse",
    ) -> None:
        if not url:
            raise SettingsError("found none, expected text", setting="url")
        self.name, self.batch_size = name, batch_size
        self.options = {
            "url": url,
            "token": token if isinstance(token, Secret) else Secret(token),
            "batch_size": batch_size,
            "ratio": ratio,
            "verbose": verbose,
            "tables": tables,
            "extra": extra,
            "name": name,
        }
        Warehouse.last = self

    def encoded_size(self, event: Event) -> int:
        return 1

    def check(self, event: Event) -> None:
        pass

    def encode(self, events: Any) -> OutgoingRequest:
        return OutgoingRequest("POST", f"{self.options['url']}")

    def classify(self, response: DestinationResponse) -> SendResult:
        return classify_status(response) or Delivered()


class Broken(Warehouse):
    """Fails in a way of its own."""

    def __init__(self) -> None:
        raise ZeroDivisionError("words of the app")


def only(tracking: Tracking) -> Warehouse:
    """The one that was just made, which is the only destination of a tracking."""
    assert repr(tracking) == f"<Tracking to {Warehouse.last.name}>"
    return Warehouse.last


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install packages that register destinations."""

    def install(package: str, **entries: str) -> None:
        folder = tmp_path / f"{package}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        lines = [f"{name} = {path}" for name, path in entries.items()]
        (folder / "entry_points.txt").write_text("\n".join(["[passerby.destinations]", *lines]))
        clear_cache()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield install
    monkeypatch.undo()
    clear_cache()


class TestNames:
    def test_passerbys_own_are_registered_in_the_same_way(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["entry-points"]["passerby.destinations"] == BUILT_IN
        assert [find(name) for name in BUILT_IN] == [Sitecore, CustomerIO, Datalyr, Segment, Webhook]

    def test_those_of_another_package(self, install: Callable[..., None]) -> None:
        install("warehouse-plugin", **{"warehouse": WAREHOUSE, "data-lake": WAREHOUSE})
        assert registered_names()[-2:] == ("warehouse", "data_lake")

        assert only(Tracking.from_mapping({"warehouse": {"url": "u"}, **KEY})).name == "warehouse"
        assert only(Tracking.from_mapping({"data-lake": {"url": "u"}, **KEY})).name == "warehouse"
        environ = {"PASSERBY_DATA_LAKE_URL": "u", "PASSERBY_DATA_LAKE_VERBOSE": "on", "PASSERBY_SECRET_KEY": "k" * 8}
        assert only(Tracking.from_env(environ)).options["verbose"] is True

    def test_one_name_of_two_packages(self, install: Callable[..., None]) -> None:
        install("first", warehouse=WAREHOUSE)
        install("second", warehouse="elsewhere:Warehouse")
        words = "<warehouse>: found several destinations of the name 'warehouse', of the packages first, second"
        with pytest.raises(SettingsError, match=words):
            Tracking.from_mapping({"warehouse": {"url": "u"}}, lambda name: f"<{name}>")

    def test_a_package_cannot_take_the_place_of_a_built_in_one_unseen(self, install: Callable[..., None]) -> None:
        install("impostor", segment=WAREHOUSE)
        with pytest.raises(SettingsError, match="of the packages impostor, passerby, expected one"):
            Tracking.from_mapping({"segment": {"write_key": "k"}})

    def test_a_package_that_cannot_be_imported_harms_no_other(self, install: Callable[..., None]) -> None:
        install("broken-plugin", broken="no_such_module:Broken")
        assert repr(Tracking.from_mapping({"segment": {"write_key": "k"}, **KEY})) == "<Tracking to segment>"
        with pytest.raises(SettingsError, match="cannot import 'no_such_module:Broken': ModuleNotFoundError"):
            Tracking.from_mapping({"broken": {}})

    def test_a_name_that_nothing_has(self) -> None:
        with pytest.raises(SettingsError, match=r"<costumerio>: found no setting and no destination of that name; .*"):
            Tracking.from_mapping({"costumerio": {"write_key": "k"}}, lambda name: f"<{name}>")
        with pytest.raises(SettingsError, match="there are sitecore, customerio, datalyr, segment, webhook"):
            find("costumerio")

    def test_source_that_was_copied_and_not_installed(self, tmp_path: Path) -> None:
        """There is no metadata at all then: neither a version nor entry points."""
        installed = Path(pytest.__file__).parents[1]
        for one in installed.iterdir():
            if not one.name.startswith(("passerby", "__pycache__")):
                (tmp_path / one.name).symlink_to(one)
        (tmp_path / "passerby").symlink_to(ROOT / "src" / "passerby")
        code = (
            f"import sys; sys.path.append({str(tmp_path)!r})\n"
            "from passerby import Tracking\n"
            "settings = {'sitecore': {'client_key': 'k', 'target_url': 'http://localhost'}, 'datalyr': "
            "{'workspace_id': 'w'}, 'customerio': {'write_key': 'k'}, 'segment': {'write_key': 'k'}, 'webhook': "
            f"{{'url': 'https://shop.example', 'secret': {SECRET!r}}}}}\n"
            "print(Tracking.from_mapping(settings), __import__('passerby.version').version.__version__)\n"
        )
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COVERAGE"))}
        run = subprocess.run(
            [sys.executable, "-S", "-c", code], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert run.stdout == "<Tracking to sitecore, customerio, datalyr, segment, webhook> unknown\n", run.stderr


class TestPaths:
    @pytest.mark.parametrize("path", [WAREHOUSE, WAREHOUSE.replace(":", ".")])
    def test_both_forms(self, path: str) -> None:
        assert load(path) is Warehouse
        assert only(Tracking.from_mapping({path: {"url": "u"}, **KEY})).name == "warehouse"
        made = only(Tracking.from_mapping({"store": {"class": path, "url": "u"}, **KEY}))
        assert (made.name, made.options["url"]) == ("store", "u")

    def test_the_class_itself(self) -> None:
        assert only(Tracking.from_mapping({"store": {"class": Warehouse, "url": "u"}, **KEY})).name == "store"

    def test_several_of_one_class(self) -> None:
        tracking = Tracking.from_mapping({"store": {"class": WAREHOUSE, "eu": {"url": "a"}, "us": {"url": "b"}}, **KEY})
        assert repr(tracking) == "<Tracking to eu, us>"

    def test_a_setting_that_is_a_mapping_is_no_name(self) -> None:
        made = only(Tracking.from_mapping({"store": {"class": WAREHOUSE, "url": "u", "extra": {"a": 1}}, **KEY}))
        assert made.options["extra"] == {"a": 1}

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("Warehouse", 'expected the path of a class, such as "myproject.tracking:Warehouse"'),
            ("a b:C", "expected the path of a class"),
            ("no_such_module:Warehouse", "cannot import 'no_such_module:Warehouse': ModuleNotFoundError"),
            (f"{WAREHOUSE}s", "AttributeError"),
            ("tests.destinations.test_registry:KEY", "found dict at .*, expected a class that makes a destination"),
            (5, "expected the path of a class"),
        ],
    )
    def test_what_is_no_path(self, path: Any, words: str) -> None:
        with pytest.raises(SettingsError, match=f"<store.class>: .*{words}"):
            Tracking.from_mapping({"store": {"class": path, "url": "u"}}, lambda name: f"<{name}>")

    @pytest.mark.parametrize(
        ("own", "words"),
        [
            ({}, "<store.url>: found none, expected one"),
            ({"url": ""}, "<store.url>: found none, expected text"),
            ({"url": "u", "colour": "red"}, "<store.colour>: found no setting of that name; there are url, token"),
        ],
    )
    def test_a_mistake_is_named_as_it_was_written(self, own: dict[str, Any], words: str) -> None:
        with pytest.raises(SettingsError) as caught:
            Tracking.from_mapping({"store": {"class": WAREHOUSE, **own}}, lambda name: f"<{name}>")
        assert str(caught.value).startswith(words)

    def test_a_class_that_fails_in_its_own_way(self) -> None:
        with pytest.raises(
            SettingsError, match="store: the destination could not be made: ZeroDivisionError"
        ) as caught:
            Tracking.from_mapping({"store": {"class": Broken}})
        assert "words of the app" not in str(caught.value)


class TestFrom:
    """The same destination from each place where settings stand."""

    OWN: ClassVar[dict[str, Any]] = {
        "url": "https://w.example",
        "token": "t",
        "batch_size": 7,
        "ratio": 0.5,
        "verbose": True,
        "tables": ["a", "b"],
    }

    def check(self, made: Warehouse) -> None:
        options = {name: value for name, value in made.options.items() if name in self.OWN}
        assert options == self.OWN | {"token": Secret("t")}
        assert made.name == "store"

    def test_keywords(self) -> None:
        self.check(only(Tracking(Warehouse(**cast("Any", self.OWN), name="store"), secret_key="a key for tests")))

    def test_a_mapping(self) -> None:
        self.check(only(Tracking.from_mapping({"store": {"class": WAREHOUSE, **self.OWN}, **KEY})))

    def test_the_environment(self) -> None:
        environ = {
            "PASSERBY_SECRET_KEY": "a key for tests",
            "PASSERBY_STORE_CLASS": WAREHOUSE,
            "PASSERBY_STORE_URL": "https://w.example",
            "PASSERBY_STORE_TOKEN": "t",
            "PASSERBY_STORE_BATCH_SIZE": "7",
            "PASSERBY_STORE_RATIO": "0.5",
            "PASSERBY_STORE_VERBOSE": "yes",
            "PASSERBY_STORE_TABLES": "a, b",
        }
        self.check(only(Tracking.from_env(environ)))
        with pytest.raises(SettingsError, match="PASSERBY_STORE_BATCH_SIZE: expected a number"):
            Tracking.from_env(environ | {"PASSERBY_STORE_BATCH_SIZE": "many"})
        with pytest.raises(SettingsError, match=r"^PASSERBY_STORE_CLASS: cannot import 'nowhere:Warehouse'"):
            Tracking.from_env(environ | {"PASSERBY_STORE_CLASS": "nowhere:Warehouse"})

    def test_django(self) -> None:
        with override_settings(PASSERBY={"store": {"class": WAREHOUSE, **self.OWN}, "send_in_tests": False}):
            self.check(only(cast("Tracking", get_tracking())))

    def test_flask(self) -> None:
        app = flask.Flask("shop")
        app.config["PASSERBY"] = {"store": {"class": WAREHOUSE, **self.OWN}, **KEY}
        Passerby(app)
        self.check(only(app.extensions["passerby"]))


def without(*names: str, **others: Any) -> Any:
    """A destination that lacks some of its members, or has others."""
    members = {name: value for name, value in vars(Warehouse).items() if not name.startswith("__")}
    members |= {"name": "store", "batch_size": 1} | others
    return type("Partial", (), {name: value for name, value in members.items() if name not in names})()


class TestIncomplete:
    @pytest.mark.parametrize(
        "names",
        [
            ("classify",),
            ("encode", "classify"),
            ("origin", "kinds"),
            ("encoded_size", "batch_bytes", "check"),
            ("name", "batch_size"),
        ],
    )
    def test_what_is_missing_is_named_at_start(self, names: tuple[str, ...]) -> None:
        with pytest.raises(SettingsError) as caught:
            Tracking(without(*names))

        lacks = str(caught.value).partition("it lacks ")[2].partition(";")[0]
        assert set(lacks.split(", ")) == set(names)
        assert "Partial" in str(caught.value)

    @pytest.mark.parametrize(
        ("member", "value", "words"),
        [
            ("name", "", "Partial.name: expected printable text"),
            ("name", 5, "Partial.name: found int, expected text"),
            ("origin", None, "Partial.origin: expected text"),
            ("kinds", {"purchase"}, "Partial.kinds: expected a frozenset out of alias, event"),
            ("kinds", "event", "Partial.kinds: expected a frozenset"),
            ("batch_size", 0, "Partial.batch_size: expected a whole number of at least 1"),
            ("batch_size", True, "Partial.batch_size: expected a whole number of at least 1"),
            ("batch_bytes", None, "Partial.batch_bytes: expected a whole number"),
            ("classify", "later", "Partial.classify: expected a plain method that takes a DestinationResponse"),
            ("check", lambda self: None, "Partial.check: .* found one that takes others"),
            ("encode", lambda self, a, b: None, "Partial.encode: .* found one that takes others"),
        ],
    )
    def test_what_is_wrong_is_named_too(self, member: str, value: Any, words: str) -> None:
        with pytest.raises(SettingsError, match=re.compile(words)):
            Tracking(without(**{member: value}))

    def test_async_members(self) -> None:
        async def encode(self: Any, events: Any) -> None: ...

        with pytest.raises(SettingsError, match=r"Partial.encode: expected a plain method .* found an async function"):
            Tracking(without(encode=encode))

    def test_a_property_that_fails(self) -> None:
        def fail(self: Any) -> str:
            raise ZeroDivisionError

        with pytest.raises(SettingsError, match="cannot read origin of the destination Partial: ZeroDivisionError"):
            Tracking(without(origin=property(fail)))

    def test_a_class_in_the_place_of_an_object(self) -> None:
        with pytest.raises(SettingsError, match="found the class Warehouse where a destination was expected"):
            Tracking(cast("Destination", Warehouse))

    def test_a_whole_one_is_taken(self) -> None:
        assert repr(Tracking(without(), secret_key="a key for tests")) == "<Tracking to store>"


def events_of(destination: Destination) -> list[Event]:
    data: dict[EventKind, dict[str, Any]] = {
        "page_view": {"page": "Home"},
        "event": {"total": 5},
        "identity": {"identifiers": [{"id": "u1", "provider": "CRM"}], "email": "ada@shop.example"},
        "form": {"form_id": "f1", "interaction": "VIEWED"},
        "screen": {"total": 5},
        "group": {"group_id": "g1", "traits": {}},
        "alias": {"previous_id": "u0"},
    }
    return [
        Event(
            "id",
            kind,
            "ORDER" if kind in ("event", "form", "screen") else None,
            1.5,
            BROWSER_ID,
            BROWSER_ID,
            "u1",
            data[kind],
            {},
        )
        for kind in sorted(destination.kinds)
    ]


BUILT: list[Destination] = [
    Sitecore(client_key="k", target_url="https://api.example.com/"),
    Sitecore(
        client_key="k", target_url="http://localhost", point_of_sale="shop", include_utm_parameters=None,
        requested_at=False, name="other",
    ),
    CustomerIO(write_key="sk_eu_1"),
    CustomerIO(write_key="k", region="eu", gzip=True, strict=False, name="eu"),
    CustomerIO(write_key=Secret("k"), target_url="https://proxy.example/cio/"),
    Datalyr(workspace_id="w"),
    Datalyr(api_key="dk_1", form="track", page_view_name="pageview", name="track"),
    Datalyr(workspace_id="w", api_key=Secret("dk_1"), share_visitors=True, target_url="https://d.example"),
    Segment(write_key="k"),
    Segment(write_key="k", target_url="http://rudder:8080/", gzip=True, name="rudder"),
    Webhook(url="https://shop.example/hook/?t=1", secret=SECRET),
    Webhook(url="http://10.0.0.1/", secret=[SECRET, SECRET], batch_size=9, allow_private_addresses=True, name="own"),
    Warehouse(url="u", token="t", extra={"a": [1, None]}),
]  # fmt: skip


class TestMadeAgain:
    @pytest.mark.parametrize("one", BUILT, ids=lambda one: f"{type(one).__name__}-{one.name}-{one.origin}")
    def test_it_is_equal(self, one: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("passerby.destinations.webhook.time.time", lambda: 1_767_225_600.0)
        spec = pickle.loads(pickle.dumps(spec_of(one)))
        again = spec.build()

        assert spec == spec_of(one) == spec_of(again)
        assert type(again) is type(one)
        assert (again.name, again.origin, again.batch_size) == (one.name, one.origin, one.batch_size)
        for event in events_of(one):
            assert again.encode([event]) == one.encode([event])
            assert again.classify(DestinationResponse(403, {}, b"")) == one.classify(DestinationResponse(403, {}, b""))
        if isinstance(one, Datalyr | Sitecore) and isinstance(again, Datalyr | Sitecore):
            assert again.shared_cookie == one.shared_cookie

    @pytest.mark.parametrize("one", BUILT, ids=lambda one: f"{type(one).__name__}-{one.name}-{one.origin}")
    def test_its_options_are_plain_and_show_no_secret(self, one: Destination) -> None:
        spec = spec_of(one)
        json.dumps(dict(spec.options), default=lambda value: value.reveal())
        for secret in (SECRET, "dk_1", "sk_eu_1", "?t=1"):
            assert secret not in repr(spec)

    def test_every_option_is_a_keyword(self) -> None:
        from inspect import signature

        for one in BUILT:
            assert list(spec_of(one).options) == list(signature(type(one)).parameters), type(one)

    def test_a_point_of_sale_that_is_a_function_is_left_out(self) -> None:
        one = Sitecore(client_key="k", target_url="http://localhost", point_of_sale=lambda request: "shop")
        assert spec_of(one).options["point_of_sale"] is None

    def test_beside_a_collector_the_address_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PASSERBY_COLLECTOR_URL", "http://127.0.0.1:8600")
        spec = spec_of(Segment(write_key="k", target_url="https://s.example"))
        monkeypatch.delenv("PASSERBY_COLLECTOR_URL")
        assert spec.build().origin == "https://s.example"

    def test_what_cannot_be_made_again(self) -> None:
        with pytest.raises(SettingsError, match="Partial cannot be rebuilt: it lacks `options`"):
            spec_of(without())

        class Local(Warehouse):
            pass

        with pytest.raises(SettingsError, match="Local cannot be rebuilt: define its class in a module"):
            spec_of(Local(url="u"))
        with pytest.raises(SettingsError, match=r"found dict in the option extra of .*, expected plain values"):
            spec_of(Warehouse(url="u", extra={"a": object()}))
        with pytest.raises(SettingsError, match="cannot import 'nowhere:Warehouse'"):
            DestinationSpec("nowhere:Warehouse").build()
        with pytest.raises(SettingsError, match="could not be made from its options: ZeroDivisionError"):
            DestinationSpec(WAREHOUSE.replace("Warehouse", "Broken")).build()
        with pytest.raises(SettingsError, match="could not be made from its options: TypeError"):
            DestinationSpec(WAREHOUSE, {"colour": "red"}).build()
