"""flush: delivers what waits, with the app's settings, and says what is left."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from passerby.collector import CollectorServer
from tests.outbox.parent import wait_for

from .conftest import Owners, Run
from .owners import event_about, fill, process_of
from .test_looking import ADA, BEN

SETTINGS = {"PASSERBY_SITECORE_CLIENT_KEY": "key", "PASSERBY_SITECORE_POINT_OF_SALE": "shop"}


def leave_behind(directory: Path, *visitors: str, to: str = "sitecore") -> list[str]:
    """Leave a store with an event of each for Sitecore; return the events' IDs."""
    events = [event_about(visitor) for visitor in visitors]
    fill(directory, events, (to,))
    return [event.id for event in events]


@pytest.fixture(autouse=True)
def settings(collector: CollectorServer, monkeypatch: pytest.MonkeyPatch) -> None:
    collector.accept_any_browser_id = True
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PASSERBY_SITECORE_TARGET_URL", collector.url)


def test_what_was_left_behind_is_delivered(run: Run, directory: Path, collector: CollectorServer) -> None:
    leave_behind(directory, ADA, BEN)
    leave_behind(directory, ADA)

    answer = run("flush")

    assert (answer.code, answer.out, answer.err) == (0, "3 entries delivered; nothing is waiting\n", "")
    assert sorted(event["browser_id"] for event in collector.events) == sorted([ADA, ADA, BEN])
    assert collector.counts["browser_ids"] == 0  # no unused browser ID is made
    assert "nothing is waiting" in run("flush").out


def test_before_the_first_event_there_is_nothing_to_deliver(run: Run, directory: Path) -> None:
    answer = run("flush")
    assert answer.code == 0
    assert "no events were recorded, nothing is waiting" in answer.out
    assert not directory.exists()


def test_what_is_left_is_said(run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = leave_behind(directory, ADA, BEN)
    monkeypatch.setenv("PASSERBY_SITECORE_TARGET_URL", "http://127.0.0.1:9")

    answer = run("flush", "--timeout", "0.5")

    assert answer.code == 3
    assert answer.out == "0 entries delivered; 2 entries still waiting: 2 for sitecore\n"
    assert sorted(one["event_id"] for one in run("export").lines) == sorted(ids)


def test_what_a_live_process_has_recorded_is_delivered_too(
    run: Run, directory: Path, owners: Owners, collector: CollectorServer
) -> None:
    process = owners.begin("own", directory, f"{ADA},{BEN}", 0, "sitecore")
    wait_for(process, "ready")
    answer = run("flush")
    assert (answer.code, answer.out) == (0, "2 entries delivered; nothing is waiting\n")
    assert sorted(event["browser_id"] for event in collector.events) == sorted([ADA, BEN])
    assert owners.end(process) == ["closed 0"]


def test_what_waits_for_a_later_attempt_is_sent_at_once(run: Run, directory: Path, collector: CollectorServer) -> None:
    leave_behind(directory, ADA)
    process = process_of(directory)
    process.settle(process.claim("sitecore"), "retry", after=3_600.0, reason="HTTP 503")

    answer = run("flush")

    assert (answer.code, answer.out) == (0, "1 entry delivered; nothing is waiting\n")
    assert [event["browser_id"] for event in collector.events] == [ADA]
    process.store.close()


def test_an_app_whose_worker_delivers_is_flushed_here(
    run: Run, directory: Path, collector: CollectorServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_behind(directory, ADA)
    monkeypatch.setenv("PASSERBY_DELIVER", "worker")
    assert run("flush").code == 0
    assert [event["browser_id"] for event in collector.events] == [ADA]


def test_settings_that_lack_a_destination_are_refused(run: Run, directory: Path) -> None:
    leave_behind(directory, ADA, to="other")

    answer = run("flush")

    assert answer.code == 1
    assert "found entries waiting for other, which the settings do not have" in answer.err
    assert [one["state"] for one in run("export").lines] == ["waiting"]


def test_wrong_settings_are_said(run: Run, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_behind(directory, ADA)
    monkeypatch.setenv("PASSERBY_CHANEL", "WEB")
    answer = run("flush")
    assert answer.code == 1
    assert "PASSERBY_CHANEL: found no setting of that name" in answer.err


def test_a_destination_of_the_app_is_found_in_the_working_directory(
    run: Run, directory: Path, collector: CollectorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_behind(directory, ADA)
    (tmp_path / "flush_store.py").write_text(
        "from passerby import Sitecore\n"
        "def Store(url: str) -> Sitecore:\n"
        "    return Sitecore(client_key='key', target_url=url, point_of_sale='shop')\n"
    )
    for name in SETTINGS:
        monkeypatch.delenv(name)
    monkeypatch.delenv("PASSERBY_SITECORE_TARGET_URL")
    monkeypatch.setenv("PASSERBY_STORE_CLASS", "flush_store:Store")
    monkeypatch.setenv("PASSERBY_STORE_URL", collector.url)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(tmp_path))])

    answer = run("flush")

    assert (answer.code, answer.out) == (0, "1 entry delivered; nothing is waiting\n"), answer.err
    assert [event["browser_id"] for event in collector.events] == [ADA]


def module_text(collector: CollectorServer, directory: Path) -> str:
    """A module of an app, with its tracking."""
    return (
        "from passerby import Sitecore, Tracking\n"
        f"sitecore = Sitecore(client_key='key', target_url={collector.url!r}, point_of_sale='shop')\n"
        f"tracking = Tracking(sitecore, secret_key='a long key', outbox='sqlite://{directory}')\n"
    )


def test_a_tracking_of_the_app_delivers(
    run: Run, directory: Path, collector: CollectorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_behind(directory, ADA)
    (tmp_path / "shop_tracking.py").write_text(module_text(collector, directory))
    monkeypatch.chdir(tmp_path)

    assert run("flush", "--tracking", "shop_tracking:tracking").code == 0
    assert [event["browser_id"] for event in collector.events] == [ADA]

    leave_behind(directory, ADA)
    leave_behind(directory / "other", ADA)
    for name, words in (
        ("shop_tracking", "expected a module and a name in it"),
        ("shop_tracking:nothing", "has no attribute 'nothing'"),
        ("no_such_module:tracking", "No module named 'no_such_module'"),
        ("shop_tracking:sitecore", "found Sitecore, expected a Tracking"),
    ):
        answer = run("flush", "--tracking", name)
        assert answer.code == 2
        assert words in answer.err
    answer = run("flush", "--tracking", "shop_tracking:tracking", outbox=directory / "other")
    assert answer.code == 2
    assert "found a Tracking whose outbox is not" in answer.err


def test_what_the_app_drops_on_purpose_is_not_lost(
    run: Run, directory: Path, collector: CollectorServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_behind(directory, ADA)
    text = f"{module_text(collector, directory)}tracking.outside_request().event('ADD')\n"
    (tmp_path / "dropping_tracking.py").write_text(text)
    monkeypatch.chdir(tmp_path)

    answer = run("flush", "--tracking", "dropping_tracking:tracking")

    assert (answer.code, answer.err) == (0, "")
    process = process_of(directory)
    (counts,) = process.send(counts=True).counts.values()
    process.store.close()
    assert counts.dropped == {"no-request": 1}
