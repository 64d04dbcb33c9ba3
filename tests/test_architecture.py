"""The layout: imports point one way, and one module or package imports each library."""

from __future__ import annotations

import ast
import builtins
import subprocess
import sys
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.imports import SOURCE, Import, is_within, read_imports, source_files

# The packages and the modules beside them, in the order of imports: each imports only from those before it.
PACKAGES = """
    version  errors  logs  process
    values  http  events  destinations  outbox  delivery  browser_ids  settings  client  passerby
    testing  cli  asgi  wsgi  fastapi  flask  django  collector  demo
"""

# The modules in the same order: a module imports only from those before it.
ORDER = """
    version  errors  logs  process
    values  values.json  values.outcome  values.secret  values.futures  values.app_values  values.callbacks
    values.browser_id
    http  http.address  http.url  http.route  http.request_info  http.asgi_scope  http.wsgi_environ  http.request
    http.forwarded  http.proxies  http.public_suffix  http.set_cookie  http.visitor_cookies  http.caching
    http.cookie_set
    http.cookie_context  http.response  http.policy  http.page  http.session  http.session_reader
    events  events.attributes  events.event  events.pii  events.redaction  events.context  events.options
    events.identity  events.builder

    destinations  destinations.responses  destinations.reserved  destinations.target  destinations.contract
    destinations.registry  destinations.messages
    destinations.sitecore.checks  destinations.sitecore.bodies  destinations.sitecore.answers
    destinations.sitecore.engage_form  destinations.sitecore.edge_form  destinations.sitecore
    destinations.customerio  destinations.datalyr  destinations.segment  destinations.webhook
    destinations.spec
    outbox  outbox.counts  outbox.reading  outbox.contract  outbox.codec  outbox.service
    outbox.memory.entry  outbox.memory.queue  outbox.memory
    outbox.sqlite.directory  outbox.sqlite.database  outbox.sqlite.state  outbox.sqlite.rows  outbox.sqlite.queue
    outbox.sqlite.requests  outbox.sqlite.claims  outbox.sqlite.pages  outbox.sqlite.salvage  outbox.sqlite.inspection
    outbox.sqlite
    outbox.buffer  outbox.inflight  outbox.observers  outbox.exchanger  outbox.thread  outbox.outbox
    delivery.test_run  delivery.dry_run  delivery.errors
    delivery.gil  delivery.loop
    delivery.worker  delivery.connecting  delivery.http_stream  delivery.transport
    delivery.claimed_batch  delivery.sender
    delivery
    browser_ids  browser_ids.breaker  browser_ids.pool  browser_ids.fetcher  browser_ids.browser_ids

    settings  settings.setting  settings.secret_keys  settings.settings  settings.env
    client  client.receipt  client.on_commit  client.contract  client.capture  client.queries  client.tracker
    client.current  client.adapters  client.withheld_cookies  client.dead_letters  client.stats  client.store_wait
    client.client
    client.lifecycle  client.uwsgi  client.parts  client.tracking  client.sites  client.engage  client.edge
    passerby
    testing.captured_events  testing  testing.plugin

    cli  cli.arguments
    cli.outbox  cli.outbox.exit_codes  cli.outbox.terminal  cli.outbox.location  cli.outbox.loading  cli.outbox.entry
    cli.outbox.store  cli.outbox.listing  cli.outbox.show  cli.outbox.verify  cli.outbox.retry_purge  cli.outbox.flush
    cli.outbox.command
    cli.doctor  cli.doctor.lock_probe  cli.doctor.mounts  cli.doctor.directory  cli.doctor.runtime  cli.doctor.clock
    cli.doctor.process_limits  cli.doctor.files  cli.doctor.settings  cli.doctor.command
    cli.worker  cli.worker.supervisor  cli.worker.arguments  cli.worker.orders  cli.worker.loading  cli.worker.health
    cli.worker.delivering  cli.worker.command
    cli.main
    asgi  wsgi  fastapi  flask
    django.transactions  django.conf  django.forwarding
    django.signals  django.middleware  django.checks  django.apps  django
    django.test  django.templatetags  django.templatetags.passerby
    django.management  django.management.commands  django.management.commands.passerby

    collector.errors  collector.json_object  collector.api_request  collector.stream_api  collector.pipelines_api
    collector.datalyr_api  collector.parsed_event  collector.people  collector.faults  collector.collected_request
    collector.feed_item  collector.request_record  collector.database  collector.counts  collector.store  collector.feed
    collector.person_index
    collector.connection  collector.wire_response  collector.request_handler  collector.cors
    collector.json_response  collector.access_control  collector.static  collector.event_stream
    collector.outbox_health  collector.health  collector.admin_api  collector.app
    collector.server_thread  collector.server  collector  collector.terminal  collector.outbox_folder
    collector.command
    demo  demo.device  demo.customer  demo.product  demo.responses  demo.layout  demo.pages  demo.account_pages
    demo.side_by_side  demo.shopper  demo.history  demo.account  demo.shop  demo.ledger  demo.outbox  demo.command
"""

# Public classes that users import from the package of their framework.
SAME_NAME = {"TrackingMiddleware"}

# The modules that may import a library; a package stands for all its modules.
IMPORTERS = {
    "asgiref": ["django"],  # it comes with Django
    "click": ["flask"],  # it comes with Flask
    "django": ["django"],
    "fastapi": ["demo", "fastapi"],
    "fcntl": ["outbox.sqlite.directory"],
    "flask": ["flask"],
    "h11": ["delivery.http_stream"],  # it comes with httpx
    "httpx": ["delivery.transport"],
    # These tests do not see what is imported through it.
    "importlib": ["cli.main", "cli.outbox.loading", "demo", "destinations.registry", "version"],
    "itsdangerous": ["http.visitor_cookies"],
    "orjson": ["values.json"],
    "pytest": ["testing.plugin"],
    "sqlite3": ["cli.doctor.runtime", "collector", "outbox.sqlite"],
    "starlette": ["asgi", "collector", "demo", "fastapi"],
    "uvicorn": ["collector", "demo"],
}

# Imports within functions: (module, imported module) and the reason.
LATE_IMPORTS: dict[tuple[str, str], str] = {
    (
        "client.parts",
        "passerby.outbox.sqlite",
    ): "needs SQLite and file locks, which not every Python and system has",
    ("collector.command", "passerby.collector.outbox_folder"): "needs file locks, which not every system has",
}

# The modules that see all settings: what reads them, and what makes the parts of them.
SEES_ALL_SETTINGS = ["settings.env", "client.parts", "client.tracking", "client.engage", "client.edge", "django.conf"]

# These compute results from plain values: they use no network and never wait.
PURE = """
    errors  values.json  values.outcome  values.secret  values.app_values  values.callbacks  values.browser_id
    http  events  destinations
"""
NETWORK = """
    asyncio  concurrent  ftplib  http.client  httpx  select  selectors  smtplib  socket  socketserver  ssl
    subprocess  threading  urllib.request  xmlrpc
"""

MOST_OUTSIDE_ASSIGNMENTS = 3  # per 100 functions


def full_name(short: str) -> str:
    return short if short == "passerby" else f"passerby.{short}"


def is_in(module: str, places: Iterable[str]) -> bool:
    return any(is_within(module, full_name(place)) for place in places)


PLACE = {full_name(short): place for place, short in enumerate(ORDER.split())}
PACKAGE_PLACE = {package: place for place, package in enumerate(PACKAGES.split())}


def package_of(module: str) -> str:
    """Return the package within passerby that a module is in; a module outside of packages counts as one."""
    return "passerby" if module == "passerby" else module.split(".")[1]


def within_passerby() -> list[Import]:
    return [found for found in read_imports() if found.reaches("passerby")]


def refuse(found: Iterable[object], advice: str) -> None:
    """Fail if anything was found: with the advice, and one line for each."""
    lines = [f"  {each}" for each in found]
    if lines:
        pytest.fail("\n".join([advice, *lines]), pytrace=False)


def test_every_module_has_a_place_in_the_order() -> None:
    refuse(
        (module for module in source_files() if module not in PLACE),
        "Add these modules to ORDER (tests/test_architecture.py), after all that they import:",
    )


def test_every_package_has_a_place_in_the_order() -> None:
    refuse(
        {package_of(module) for module in source_files()} ^ PACKAGE_PLACE.keys(),
        "Add these packages to PACKAGES (tests/test_architecture.py), after all that they import, or remove them:",
    )


def test_a_package_imports_only_from_those_before_it() -> None:
    refuse(
        (
            found
            for found in within_passerby()
            if PACKAGE_PLACE.get(package_of(found.module), 0) < PACKAGE_PLACE.get(package_of(found.target), 0)
        ),
        "These imports go from a package to a later one. Move the code to an earlier package, or pass it in:",
    )


def test_a_module_imports_only_from_those_before_it() -> None:
    refuse(
        (
            found
            for found in within_passerby()
            if found.module in PLACE and PLACE[found.module] <= PLACE.get(found.target, -1)
        ),
        "These imports go from a module to a later one. Move the code to an earlier module, or pass it in:",
    )


def test_imports_form_no_cycle() -> None:
    graph: dict[str, set[str]] = {module: set() for module in source_files()}
    for found in within_passerby():
        graph[found.module].add(found.target)

    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        refuse(
            [" -> ".join(error.args[1])],
            "These modules import each other. Move the code that they share to a module of its own:",
        )


def test_imports_are_at_the_top_of_their_module() -> None:
    late = {(found.module, found.target): found for found in read_imports() if found.in_function}
    allowed = {(full_name(module), target) for module, target in LATE_IMPORTS}

    refuse(
        (found for key, found in late.items() if key not in allowed),
        "Move these imports to the top of their modules, or add them to LATE_IMPORTS with the reason:",
    )
    refuse(allowed - late.keys(), "These imports no longer exist. Remove them from LATE_IMPORTS:")


def test_each_library_is_imported_in_one_place() -> None:
    refuse(
        (
            found
            for library, importers in IMPORTERS.items()
            for found in read_imports()
            if found.reaches(library) and not is_in(found.module, importers)
        ),
        f"Use the module that imports the library instead of importing it again; these may import one: {IMPORTERS}:",
    )


def test_every_library_is_expected() -> None:
    refuse(
        (found for found in read_imports() if not found.reaches("passerby", *IMPORTERS, *sys.stdlib_module_names)),
        "Remove these imports, or add the libraries to IMPORTERS, each with one module or package:",
    )


def test_destinations_import_no_other_destination_and_no_delivery() -> None:
    helpers = ("contract", "messages", "registry", "reserved", "responses", "target")
    shared = ("passerby.destinations", *(f"passerby.destinations.{helper}" for helper in helpers))

    def is_forbidden(found: Import) -> bool:
        own = ".".join(found.module.split(".")[:3])  # a destination may be a package
        is_sibling = found.reaches("passerby.destinations") and not found.reaches(own) and found.target not in shared
        return is_sibling or found.reaches("passerby.outbox", "passerby.delivery")

    refuse(
        (found for found in read_imports() if is_in(found.module, ["destinations"]) and is_forbidden(found)),
        "A destination turns events into requests and classifies responses. Move other code elsewhere:",
    )


def test_only_what_joins_the_parts_sees_all_settings() -> None:
    refuse(
        (
            found
            for found in read_imports()
            if found.reaches("passerby.settings.settings") and not is_in(found.module, SEES_ALL_SETTINGS)
        ),
        "Hand in plain values, as `client.parts` does, or a small dataclass of what is needed. These see all settings:",
    )


def test_pure_modules_use_no_network() -> None:
    refuse(
        (found for found in read_imports() if found.reaches(*NETWORK.split()) and is_in(found.module, PURE.split())),
        "These modules compute results from plain values. Move threads, waiting and the network to `delivery`:",
    )


def test_objects_change_only_their_own_fields() -> None:
    package = SOURCE / "passerby"
    counted = subprocess.run(
        [
            sys.executable,
            SOURCE.parent / "scripts" / "count-outside-assignments",
            "--list",
            f"--max={MOST_OUTSIDE_ASSIGNMENTS}",
            package,
        ],
        capture_output=True,
        check=False,
        text=True,
    )

    refuse(
        counted.stdout.splitlines() if counted.returncode else [],
        f"More than {MOST_OUTSIDE_ASSIGNMENTS} of 100 functions assign to fields of others. Give those a method:",
    )
    assert not counted.stderr


def test_a_package_has_one_base_exception() -> None:
    found: dict[str, list[str]] = {}
    for module, path in source_files().items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and node.bases and all(map(is_builtin_exception, node.bases)):
                found.setdefault(package_of(module), []).append(f"{module}.{node.name}")

    refuse(
        (name for names in found.values() if len(names) > 1 for name in names),
        "These packages have several exceptions without a base of their own. Derive them from one:",
    )


def is_builtin_exception(base: ast.expr) -> bool:
    kind: object = getattr(builtins, base.id, None) if isinstance(base, ast.Name) else None
    return isinstance(kind, type) and issubclass(kind, BaseException)


def test_no_class_name_is_used_twice() -> None:
    places: dict[str, list[str]] = {}
    for module, path in source_files().items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(module)

    refuse(
        (
            f"{name}: {', '.join(sorted(modules))}"
            for name, modules in sorted(places.items())
            if len(modules) > 1 and name not in SAME_NAME
        ),
        "These class names are used more than once. Rename all but one:",
    )
