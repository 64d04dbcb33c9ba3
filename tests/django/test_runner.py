"""The runner for `manage.py test`: what tests tell leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

from passerby.delivery.dry_run import dry_run_mode
from passerby.django.test import TestRunner

# A project whose events would go to a host that nobody has; each test asks what became of one.
PROJECT = {
    "site_settings.py": """
        SECRET_KEY = "a key of this project's tests"
        TEST_RUNNER = "passerby.django.test.TestRunner"
        INSTALLED_APPS = ["passerby.django"]
        MIDDLEWARE = ["passerby.django.TrackingMiddleware"]
        ROOT_URLCONF = "shop"
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
        SITECORE = {"client_key": "key", "target_url": "https://cdp.invalid", "point_of_sale": "shop"}
        PASSERBY = {"sitecore": SITECORE, "on_commit": True}
    """,
    "shop.py": """
        from django.http import HttpResponse
        from django.urls import path

        def home(request):
            request.tracker.page_view({"page": "Home"})
            return HttpResponse(request.tracker.browser_id)

        urlpatterns = [path("", home)]
    """,
    "test_shop.py": """
        from django.test import TestCase
        from passerby.django import get_tracking
        from passerby.testing import capture_events

        class FirstTest(TestCase):
            def test_home(self):
                with capture_events() as events, self.captureOnCommitCallbacks(execute=True):
                    browser_id = self.client.get("/").content.decode()
                events.assert_page_view("Home", browser_id=browser_id)
                self.assertEqual(get_tracking().stats().destinations["sitecore"].dropped, {"dry-run": 1})
                self.assertEqual(get_tracking().stats().browser_ids.made, 0)

        class SecondTest(FirstTest):
            def test_home(self):
                with capture_events() as events:
                    self.client.get("/")
                events.assert_summary("page view Home")
    """,
    "manage.py": """
        import multiprocessing
        import os
        import sys

        if __name__ == "__main__":
            multiprocessing.set_start_method(sys.argv.pop(1))
            os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
            from django.core.management import execute_from_command_line
            execute_from_command_line(sys.argv)
    """,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The folder of a Django project."""
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(dedent(text))
    return tmp_path


@pytest.mark.parametrize(
    ("start_method", "parallel"), [("fork", "1"), ("fork", "2"), ("spawn", "2")], ids=["alone", "fork", "spawn"]
)
def test_tests_tell_nobody(project: Path, start_method: str, parallel: str) -> None:
    """Also in the processes of `--parallel`, however they come to be."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", start_method, "test", f"--parallel={parallel}"],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr
    assert "Ran 2 tests" in ran.stderr


def test_the_dry_run_lasts_as_long_as_the_tests() -> None:
    before = dry_run_mode.enter()
    dry_run_mode.stop()
    runner = TestRunner(verbosity=0)
    try:
        runner.setup_test_environment()
        try:
            begun = dry_run_mode.is_on
        finally:
            runner.teardown_test_environment()
        assert (begun, dry_run_mode.is_on) == (True, False)
    finally:
        dry_run_mode.restore(before)
