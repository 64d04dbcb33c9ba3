"""Sets Django up for the tests, with a database in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

import django
import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
os.environ["DATABASE"] = ":memory:"
django.setup()

from django.core.management import call_command  # noqa: E402 - Django has to be set up before
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def shop() -> Iterator[None]:
    """The shop as it opens."""
    setup_test_environment()
    call_command("migrate", verbosity=0)
    yield
    teardown_test_environment()
