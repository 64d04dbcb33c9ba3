"""Records events as a process of the app does that has ended by now."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from passerby import Tracking, Webhook

SECRET = "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"


def make_tracking(directory: Path, url: str, **settings: object) -> Tracking:
    usual = {"secret_key": "a key of this app's tests", "outbox": f"sqlite://{directory}", "deliver": "worker"}
    return Tracking(Webhook(url=url, secret=SECRET, allow_private_addresses=True), **(usual | settings))  # type: ignore[arg-type]


def record(directory: Path, url: str, *steps: str) -> None:
    tracking = make_tracking(directory, url, send_in_tests=True)
    for step in steps:
        tracking.for_visitor(str(uuid4())).event("STEP", {"step": step}).wait_stored(60)
    tracking.close()


def count_waiting(directory: Path, url: str) -> int:
    tracking = make_tracking(directory, url)
    try:
        return tracking.stats().destinations["webhook"].pending
    finally:
        tracking.close()
