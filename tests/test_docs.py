"""What the pages in docs/ say must be so; `test_readme.py` holds the README to it."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import passerby
import tests.django_site  # noqa: F401 - sets Django up
from passerby import CustomerIO, Sitecore, Tracking
from passerby.asgi import TrackingMiddleware
from passerby.cli.outbox.command import SUBCOMMANDS
from passerby.client.parts import MAX_IN_MEMORY, MAX_ON_DISK
from passerby.collector import CollectorServer
from passerby.collector.admin_api import AdminApi
from passerby.collector.event_stream import EventStream
from passerby.collector.faults import Faults
from passerby.collector.feed import Feed
from passerby.collector.health import Health
from passerby.collector.store import Store
from passerby.django.conf import DjangoSettings
from passerby.settings.setting import types_of
from passerby.settings.settings import Settings
from passerby.testing import CapturedEvents
from tests import identity_table as identities
from tests import layout_diagram, settings_table
from tests.conformance.customerio.differences import DIFFERENCES as FROM_CUSTOMERIO
from tests.conformance.differences import DIFFERENCES as FROM_ENGAGE
from tests.conformance.edge.differences import DIFFERENCES as FROM_EDGE
from tests.conformance.segment.differences import DIFFERENCES as FROM_SEGMENT
from tests.imports import source_files
from tests.making import KEY, NAVIGATION, PATIENCE
from tests.markdown import anchors, examples, rows, without_code
from tests.test_architecture import PACKAGES

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
FOR_READERS = [README, *PAGES, *sorted((ROOT / "examples").glob("*/README.md"))]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def read(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


DJANGO = read("django.md")


def all_examples() -> list[tuple[str, str]]:
    found = re.compile(r"```python\n(.+?)```", re.DOTALL)
    return [(page.name, text) for page in PAGES for text in found.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(("page", "text"), all_examples(), ids=lambda value: value.partition("\n")[0][:40])
def test_every_example_is_python(page: str, text: str) -> None:
    ast.parse(text)


async def run(example: str, names: dict[str, Any]) -> None:
    """Run an example as the body of an async function."""
    outcome = eval(compile(example, "an example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
    if inspect.isawaitable(outcome):
        await outcome


def test_the_examples_of_tracking_run() -> None:
    with CollectorServer() as collector:
        tracking = Tracking(
            Sitecore(client_key="key", target_url=collector.url, point_of_sale="shop"),
            CustomerIO(write_key="key", target_url=collector.url),
            secret_key=KEY,
            identity_provider="CRM",
            browser_id_timeout=PATIENCE,
        )
        receipts: list[Any] = []

        async def show(request: Request) -> Response:
            names = {"request": request, "tracking": tracking, "browser_id": request.state.tracker.browser_id}
            for example in examples(read("tracking.md")):
                await run(example, names)
            receipts.append(names["receipt"])
            return JSONResponse({})

        app = TrackingMiddleware(Starlette(routes=[Route("/", show)]), tracking=tracking)
        with TestClient(app, "https://shop.example", headers=NAVIGATION) as client:
            assert client.get("/").status_code == 200
        assert tracking.close(PATIENCE) == 0

        assert {str(type(one).__name__) for one in receipts[0].outcomes.values()} == {"Delivered"}
        assert {event["type"] for event in collector.events} == {"VIEW", "ADD", "IDENTITY", "FORM", "REFUND"}
        assert {message["type"] for message in collector.messages("customerio")} == {
            *("page", "track", "identify", "screen", "group", "alias")
        }
        assert all(one.is_balanced for one in tracking.stats().destinations.values())


@pytest.mark.parametrize(
    ("number", "name", "types"),
    [
        (0, "init_server", ["VIEW", "IDENTITY", "ADD"]),
        (1, "init_content_sdk", ["VIEW", "IDENTITY", "ADD", "FORM"]),
    ],
)
def test_the_examples_for_sitecores_sdks_run(
    monkeypatch: pytest.MonkeyPatch, number: int, name: str, types: list[str]
) -> None:
    example = examples(read("engage.md"))[number]
    with CollectorServer() as collector:
        made: list[Any] = []
        make: Callable[..., Any] = getattr(passerby, name)
        own = {"client_key": "key", "target_url": collector.url} if number == 0 else {"edge_url": collector.url}
        own |= {} if number == 0 else {"context_id": "ctx1"}

        def init(**settings: Any) -> Any:
            made.append(make(**(settings | own | {"browser_id_timeout": PATIENCE})))
            return made[0]

        monkeypatch.setattr(passerby, name, init)

        async def show(request: Request) -> Response:
            response = JSONResponse({})
            names = {"passerby": passerby, "request": request, "response": response}
            data = {"event_data": {"identifiers": [{"id": "1", "provider": "CRM"}]}, "extension_data": {"plan": "pro"}}
            await run(example, names | data)
            return response

        with TestClient(Starlette(routes=[Route("/", show)]), "https://shop.example", headers=NAVIGATION) as client:
            answered = client.get("/")
            assert answered.status_code == 200
            assert answered.cookies
        assert getattr(made[0], "tracking", made[0]).close(PATIENCE) == 0
        assert [event["type"] for event in collector.events] == types


def test_the_ways_to_write_settings_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.+?)```", read("settings.md"), re.DOTALL)
    for name in ("CLIENT_KEY", "TARGET_URL"):
        monkeypatch.setenv(f"PASSERBY_SITECORE_{name}", "")  # so that it is taken away again
    monkeypatch.setenv("PASSERBY_SECRET_KEY", "")
    made: list[Any] = []
    names: dict[str, Any] = {"made": made}
    tree = ast.parse(example)
    for node in tree.body:
        if isinstance(node, ast.Expr):  # a Tracking that the example makes and does not keep
            node.value = ast.Call(ast.Attribute(ast.Name("made", ast.Load()), "append", ast.Load()), [node.value], [])
    exec(compile(ast.fix_missing_locations(tree), "settings.md", "exec"), names)
    assert len(made) == 3
    assert len({repr(one) for one in made}) == 1


def broken_links(page: Path) -> list[str]:
    found: list[str] = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        is_there = target.exists() and (not anchor or anchor in anchors(target.read_text(encoding="utf-8")))
        if not is_there:
            found.append(link)
    return found


def test_the_names_in_the_architecture_exist() -> None:
    packages = "|".join(set(PACKAGES.split()) - {"passerby"})
    named = re.findall(rf"`((?:{packages})\.[\w.]+)`", read("architecture.md"))
    assert len(named) > 20
    for name in named:
        parts = name.split(".")
        module = next(end for end in range(len(parts), 0, -1) if f"passerby.{'.'.join(parts[:end])}" in source_files())
        found: object = importlib.import_module(f"passerby.{'.'.join(parts[:module])}")
        for part in parts[module:]:
            found = getattr(found, part)


def test_the_packages_are_shown_as_they_are() -> None:
    shown = layout_diagram.PAGE.read_text(encoding="utf-8")
    assert shown == layout_diagram.page_as_generated(), f"run {layout_diagram.COMMAND}"


@pytest.mark.parametrize("page", [README, *PAGES], ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    assert not broken_links(page)


def test_the_list_of_pages_has_them_all() -> None:
    listed = set(re.findall(r"^- \[[^\]]+\]\((\w[\w-]*\.md)\)", read("README.md"), re.MULTILINE))
    assert listed == {page.name for page in PAGES} - {"README.md"}


@pytest.mark.parametrize("page", FOR_READERS, ids=name_of)
def test_pages_are_in_the_words_of_the_field(page: Path) -> None:
    """Events are tracked, recorded and sent, and not told."""
    text = without_code(page.read_text(encoding="utf-8"))
    assert re.findall(r"\b(?:told|tells?|telling|nobody|somebody|whoever)\b", text, re.IGNORECASE) == []


@pytest.mark.parametrize("page", [README, *PAGES], ids=name_of)
def test_commands_of_make_are_there(page: Path) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+(?:-[a-z]+)*)(?=[`\s])", code_of(page))) <= set(targets)


def code_of(page: Path) -> str:
    """What is written as code: blocks, and pieces within the text."""
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join([*blocks, *re.findall(r"`[^`\n]+`", without_code(text))])


@pytest.mark.parametrize("name", [one.name for one in fields(Settings)])
def test_every_setting_is_in_the_table(name: str) -> None:
    table = read("settings.md").partition("## All settings")[2].partition("\n## ")[0]
    assert re.search(rf"^\| [^|]*`{name}`", table, re.MULTILINE), f"the table of settings lacks {name}"


@pytest.mark.parametrize("page", settings_table.PAGES, ids=lambda page: page.name)
def test_the_table_of_settings_is_what_their_definition_says(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text == settings_table.page_as_written(page), f"run `{settings_table.COMMAND}`"
    assert settings_table.table(settings_table.PAGES[page]) in text, f"{page} lacks the comments around the table"


@pytest.mark.parametrize("settings", settings_table.PAGES.values(), ids=lambda settings: settings.__name__)
def test_every_setting_says_what_it_does(settings: type) -> None:
    found = list(settings_table.definitions(settings))
    assert [one.name for one in found] == list(types_of(settings))
    assert [one.name for one in found if not one.words.endswith(".")] == [], "put a sentence below the field"


def test_how_many_events_may_wait_is_what_the_outboxes_say() -> None:
    (words,) = (one.words for one in settings_table.definitions(Settings) if one.name == "max_events")
    assert f"{MAX_IN_MEMORY:,} in memory and {MAX_ON_DISK:,} on disk" in words


def test_the_settings_for_django_are_all_there() -> None:
    section = DJANGO.partition("## Settings")[2].partition("\n## ")[0].partition("| check |")[0]
    assert re.findall(r"^\| `(\w+)` ", section, re.MULTILINE) == [one.name for one in fields(DjangoSettings)]


def test_the_checks_for_django_are_all_there() -> None:
    source = (ROOT / "src" / "passerby" / "django" / "checks.py").read_text(encoding="utf-8")
    assert set(re.findall(r"passerby\.[EW]\d+", DJANGO)) == set(re.findall(r"passerby\.[EW]\d+", source))


def test_the_assertions_of_the_fixture_are_all_there() -> None:
    page = read("testing.md")
    names = {name for name in vars(CapturedEvents) if not name.startswith(("_", "on_"))} | {"events", "refused"}
    assert set(re.findall(r"`captured_events\.(\w+)", page)) == names


def test_the_commands_for_the_outbox_are_all_there() -> None:
    page = read("outbox.md")
    assert set(SUBCOMMANDS) <= set(re.findall(r"passerby outbox (\w+)", page))


def test_the_checks_of_the_doctor_are_all_there(tmp_path: Path) -> None:
    table = read("outbox.md").partition("| check |")[2]
    run = subprocess.run(
        [sys.executable, "-m", "passerby.cli.main", "doctor", "--json", "--outbox", str(tmp_path)],
        check=False,
        capture_output=True,
        timeout=100,
    )
    assert [one["check"] for one in json.loads(run.stdout) if f"`{one['check']}`" not in table] == []


def test_the_paths_of_the_collector_are_all_there() -> None:
    page = read("collector.md").partition("## Paths")[2]
    told = re.findall(r"^\| `/_collector(/\S*)` \| (\w+) \|", page, re.MULTILINE)
    store = Store()
    feed, faults = Feed(store), Faults()
    stream = EventStream(store, feed, faults)
    control = AdminApi(store, feed, faults, stream, Health(store, feed))
    paths = {(route.path, method) for route in control.routes for method in (route.methods or ()) if method != "HEAD"}
    assert {(path, method) for path, method in told if path != "/"} == paths


def test_the_options_of_the_collector_are_all_there() -> None:
    table = read("collector.md").partition("## Paths")[0]
    run = subprocess.run(
        [sys.executable, "-m", "passerby.cli.main", "collect", "--help"], check=True, capture_output=True, text=True
    )
    assert set(re.findall(r"`(--[a-z-]+)", table)) == set(re.findall(r"--[a-z-]+", run.stdout)) - {"--help"}


@pytest.mark.parametrize(
    ("name", "differences", "command"),
    [
        ("differences", FROM_ENGAGE, "engage"),
        ("edge differences", FROM_EDGE, "edge"),
        ("customerio differences", FROM_CUSTOMERIO, "customerio"),
        ("segment differences", FROM_SEGMENT, "segment"),
    ],
    ids=["engage", "edge", "customerio", "segment"],
)
def test_the_tables_of_differences_are_those_that_are_checked(name: str, differences: Any, command: str) -> None:
    expected = [[one.sdk, one.passerby, one.reason] for one in differences]
    assert rows(read("differences.md"), name) == expected, f"run `python -m tests.conformance --table {command}`"


def test_the_table_of_identities_is_what_the_destinations_make_of_them() -> None:
    page = read("destinations.md")
    section = page.partition("<!-- identity -->")[2].partition("<!-- /identity -->")[0]
    lines = [line.strip("| ").split(" | ") for line in section.split("\n") if line.startswith("|")]
    heading, *rows = identities.table()
    assert lines == [heading, ["---"] * len(heading), *rows], "run `python -m tests.identity_table` and put it in"
