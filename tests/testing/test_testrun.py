"""Runs of tests are noticed without the plugin and without the runner, and production never is taken for one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from passerby.collector import CollectorServer

# An app whose address is a server that is not part of the run: for the run it is the real service.
SHOP = """
    import os
    from passerby import CustomerIO, Datalyr, Sitecore, Tracking
    from passerby.testing import capture_events

    URL = os.environ["SERVICE_URL"]
    DESTINATIONS = {
        "sitecore": lambda: Sitecore(client_key="key", target_url=URL, point_of_sale="shop"),
        "customerio": lambda: CustomerIO(write_key="key", target_url=URL),
        "datalyr": lambda: Datalyr(workspace_id="ws", target_url=URL),
    }
    tracking = Tracking(
        DESTINATIONS[os.environ["DESTINATION"]](),
        secret_key="a key of these tests",
        outbox=os.environ.get("OUTBOX", "memory"),
        send_in_tests="SEND" in os.environ,
    )
    BROWSER_ID = "7b0d5b0e-1f5c-4f8e-9a52-2f1d1c7a9d10"

    def track():
        with capture_events() as events:
            tracking.for_visitor(BROWSER_ID).event("ADD")
        events.assert_event("ADD")
        tracking.start()
        left = tracking.flush(20)
        ledger = tracking.stats().destinations[os.environ["DESTINATION"]]
        print(f"left {left}, delivered {ledger.delivered}, dropped {dict(ledger.dropped)}", flush=True)
        assert ledger.is_balanced
"""
CASE = """
    import unittest
    import shop

    class ShopTest(unittest.TestCase):
        def test_it(self):
            shop.track()
"""
SETTINGS = """
    SECRET_KEY = "a key of these tests"
    INSTALLED_APPS = []
    MIDDLEWARE = []
    DATABASES = {}
    USE_TZ = True
"""
FILES = {
    "shop.py": SHOP,
    "test_shop.py": CASE,
    "site_settings.py": SETTINGS,
    "manage.py": """
        import shop  # the app is there before the tests are
        from django.core.management import execute_from_command_line
        import os, sys
        os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
        execute_from_command_line(sys.argv)
    """,
    "main.py": """
        import unittest
        import shop
        from test_shop import ShopTest
        if __name__ == "__main__":
            unittest.main(argv=["main.py"])
    """,
    "environment.py": """
        import django, os, unittest
        import shop
        os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
        django.setup()
        from django.test.utils import setup_test_environment
        setup_test_environment()
        shop.track()
    """,
    "within.py": """
        import sys, pytest
        sys.exit(pytest.main(["-q", "-s", "-p", "no:cacheprovider", "test_shop.py"]))
    """,
    "app.py": "import shop; shop.track()",
    "imports.py": """
        import pytest, unittest, unittest.mock, doctest
        import django.test, django.test.utils, django.test.client
        import shop
        shop.track()
    """,
    "pinned.py": """
        import os, pytest
        os.environ["PYTEST_VERSION"] = pytest.__version__
        import shop
        shop.track()
    """,
    "tests.py": "import shop; shop.track()",
}
PYTEST = ["-m", "pytest", "-q", "-s", "-p", "no:cacheprovider"]
RUNS = {
    "pytest without its plugins": [*PYTEST, "test_shop.py"],
    "pytest without rewriting": [*PYTEST, "--assert=plain", "test_shop.py"],
    "pytest within a program": ["within.py"],
    "unittest": ["-m", "unittest", "test_shop"],
    "unittest, discovered": ["-m", "unittest"],
    "unittest.main": ["main.py"],
    "Django's runner": ["manage.py", "test"],
    "Django's test environment": ["environment.py"],
}
SERVING = {
    "an app": ["app.py"],
    "an app that imports test libraries": ["imports.py"],
    "an image that pins pytest": ["pinned.py"],
    "a program called tests": ["tests.py"],
    "a module of the package of the app": ["-m", "app"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a project that has done nothing for passerby's sake."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(dedent(text))
    return tmp_path


@pytest.fixture
def service(collector: CollectorServer) -> CollectorServer:
    """The real service, as far as the project knows."""
    collector.accept_any_browser_id = True
    return collector


def run(project: Path, service: str, arguments: list[str], environ: Mapping[str, str]) -> tuple[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    usual = {"SERVICE_URL": service, "DESTINATION": "sitecore", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=inherited | usual | dict(environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout, ran.stderr


def calls_to(service: CollectorServer) -> int:
    return len(service.requests)


@pytest.mark.parametrize("arguments", RUNS.values(), ids=RUNS)
def test_nothing_leaves_a_run_of_tests(project: Path, service: CollectorServer, arguments: list[str]) -> None:
    out, err = run(project, service.url, arguments, {"OUTBOX": f"sqlite://{project}/outbox"})
    assert "left 0, delivered 0, dropped {'dry-run': 1}" in out
    assert calls_to(service) == 0, "no event, and no browser ID"
    assert "detected a test run" in out + err, "it is visible"
    assert "To send from tests set send_in_tests=True" in out + err


@pytest.mark.parametrize("destination", ["customerio", "datalyr"])
def test_nor_to_other_destinations(project: Path, service: CollectorServer, destination: str) -> None:
    out, _ = run(project, service.url, RUNS["unittest"], {"DESTINATION": destination})
    assert "left 0, delivered 0, dropped {'dry-run': 1}" in out
    assert calls_to(service) == 0


@pytest.mark.parametrize("arguments", RUNS.values(), ids=RUNS)
def test_a_run_may_ask_to_send(project: Path, service: CollectorServer, arguments: list[str]) -> None:
    out, err = run(project, service.url, arguments, {"SEND": "1"})
    assert "left 0, delivered 1, dropped {}" in out
    assert "detected a test run" not in out + err


@pytest.mark.parametrize("arguments", SERVING.values(), ids=SERVING)
def test_production_is_no_run_of_tests(project: Path, service: CollectorServer, arguments: list[str]) -> None:
    out, err = run(project, service.url, arguments, {})
    assert "left 0, delivered 1, dropped {}" in out
    assert not err


@pytest.mark.parametrize(
    ("address", "outcome"),
    [
        ("", "left 0, delivered 1, dropped {}"),
        ("https://api.example.com", "left 0, delivered 0, dropped {'dry-run': 1}"),
    ],
    ids=["this machine", "elsewhere"],
)
def test_a_process_that_a_test_has_started(project: Path, service: CollectorServer, address: str, outcome: str) -> None:
    """Such as a server; the collectors of the test are on this machine, and nothing is sent elsewhere."""
    environ = {"PYTEST_CURRENT_TEST": "test_shop.py::test_it (call)"}
    out, err = run(project, address or service.url, SERVING["an app that imports test libraries"], environ)
    assert outcome in out
    assert ("detected a test run (PYTEST_CURRENT_TEST is set)" in err) is bool(address)


def test_a_collector_of_the_run_still_gets_events(project: Path, service: CollectorServer) -> None:
    """Also where tests were only noticed."""
    (project / "test_shop.py").write_text(
        dedent("""
        import os
        import unittest
        from passerby.collector import CollectorServer

        class ShopTest(unittest.TestCase):
            def test_it(self):
                with CollectorServer(accept_any_browser_id=True) as collector:
                    os.environ["SERVICE_URL"] = collector.url
                    import shop
                    shop.track()
                    shop.tracking.close(20)
                    self.assertEqual([event["type"] for event in collector.events], ["ADD"])
        """)
    )
    out, err = run(project, service.url, RUNS["unittest"], {})
    assert "left 0, delivered 1, dropped {}" in out
    assert "detected a test run" not in out + err
