"""A Django project with settings of its own, and a browser in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Protocol

import pytest
from django.db import connections
from django.test import override_settings
from django.urls import path

from passerby import Tracking
from passerby.collector import CollectorServer
from passerby.django import get_tracking
from tests.making import PATIENCE

from .browser import Browser

TRACKING = "passerby.django.TrackingMiddleware"


class MakeProject(Protocol):
    """Has the project made of these views, the first of them at "/" and each at its own name; the one before ends.

    Settings of `PASSERBY` go by keyword, those of Django in `django`. Events go to the collector.
    """

    def __call__(
        self,
        *views: Callable[..., Any],
        middleware: Sequence[str] = (TRACKING,),
        django: Mapping[str, Any] | None = None,
        **passerby: Any,
    ) -> Tracking: ...


@pytest.fixture
def make_project(collector: CollectorServer) -> Iterator[MakeProject]:
    """Make the project; its tracking is closed in the end, and its ledger must add up."""
    collector.accept_any_browser_id = True
    with ExitStack() as stack:

        def make(
            *views: Callable[..., Any],
            middleware: Sequence[str] = (TRACKING,),
            django: Mapping[str, Any] | None = None,
            **passerby: Any,
        ) -> Tracking:
            stack.close()
            sitecore = {"client_key": "key", "target_url": collector.url, "point_of_sale": "shop"}
            usual = {
                "sitecore": sitecore,
                "identity_provider": "CRM",
                "browser_id_timeout": PATIENCE,
                "retry_base": 0.02,
            }
            settings = {
                "ROOT_URLCONF": tuple(
                    path(view.__name__ if place else "", view) for place, view in enumerate((*views[:1], *views))
                ),
                "MIDDLEWARE": middleware,
                "PASSERBY": usual | passerby,
            }
            stack.enter_context(override_settings(**settings, **(django or {})))
            tracking = get_tracking()
            assert isinstance(tracking, Tracking)
            stack.callback(close, tracking)
            return tracking

        yield make


def close(tracking: Tracking) -> None:
    assert tracking.close(PATIENCE) == 0
    ledgers = tracking.stats().destinations.values()
    assert all(ledger.is_balanced for ledger in ledgers), ledgers


@pytest.fixture(params=["wsgi", "asgi"])
def browser(request: pytest.FixtureRequest) -> Browser:
    """A browser, before the project served in both ways."""
    return Browser(request.param)


@pytest.fixture
def atomic_requests() -> Iterator[None]:
    """Have each request in a transaction, as ATOMIC_REQUESTS of the database says."""
    database = connections.settings["default"]
    database["ATOMIC_REQUESTS"] = True
    yield
    database["ATOMIC_REQUESTS"] = False
