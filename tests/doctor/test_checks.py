"""Each check, with values that it is for."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from passerby import Tracking
from passerby.cli.doctor import Severity
from passerby.cli.doctor.clock import check_clock
from passerby.cli.doctor.directory import DirectoryFacts, WriteTest, check_permissions, check_space, check_write_test
from passerby.cli.doctor.files import check_store
from passerby.cli.doctor.mounts import check_mount, kind_of
from passerby.cli.doctor.process_limits import check_files as check_open_files
from passerby.cli.doctor.process_limits import check_processes
from passerby.cli.doctor.runtime import check_python, check_sqlite, check_uwsgi, has_wal_reset_bug
from passerby.cli.doctor.settings import check_settings
from passerby.cli.outbox.store import StoreSummary
from passerby.client import uwsgi
from passerby.errors import SettingsError
from passerby.outbox.counts import DestinationCounts

MOUNTS = """\
22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/root rw
23 22 0:5 / /dev rw,nosuid - devtmpfs udev rw
24 23 0:22 / /dev/shm rw shared:4 - tmpfs tmpfs rw
30 22 0:50 / /srv/shared\\040files rw - nfs4 server:/export rw,vers=4.2
31 22 0:51 / /var/lib/docker/overlay rw - overlay overlay rw,lowerdir=/a
32 22 0:52 / /mnt/twice rw - ext4 /dev/sdb rw
33 22 0:53 / /mnt/twice rw - fuse.sshfs host: rw
a line that is none
"""
FACTS = DirectoryFacts(
    path=Path("/var/lib/shop/outbox"),
    is_there=True,
    mode=0o700,
    owner=1000,
    user=1000,
    is_writable=True,
    free=50_000_000_000,
    files=1_000_000,
    is_read_only=False,
)


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 11, 0), "ok"), ((3, 14, 2), "ok"), ((3, 10, 14), "problem"), ((2, 7, 18), "problem")]
)
def test_python(version: tuple[int, int, int], verdict: Severity) -> None:
    found = check_python(version, "CPython")
    assert found.severity == verdict
    assert ".".join(map(str, version)) in found.message


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_the_wal_reset_bug_is_known_by_version(version: tuple[int, int, int], has_it: bool) -> None:
    assert has_wal_reset_bug(version) is has_it
    found = check_sqlite(version)
    assert found.severity == "ok"
    assert ("take turns" in found.message) is has_it


@pytest.mark.parametrize(("runs_threads", "verdict"), [(None, "ok"), (True, "ok"), (False, "problem")])
def test_uwsgi_without_threads_is_a_problem(runs_threads: bool | None, verdict: Severity) -> None:
    found = check_uwsgi(runs_threads)
    assert found.severity == verdict
    assert ("--enable-threads" in found.advice) is (verdict == "problem")


def test_uwsgi_without_threads_is_said_once_at_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        uwsgi.warn_if_threads_are_off()
        assert caplog.messages == []
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=1))
        uwsgi.warn_if_threads_are_off()
        assert caplog.messages == []
        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(has_threads=0))
        uwsgi.warn_if_threads_are_off()
    (message,) = caplog.messages
    assert "--enable-threads" in message


@pytest.mark.parametrize(
    ("path", "kind", "verdict"),
    [
        ("/var/lib/shop", "ext4", "ok"),
        ("/dev/shm/outbox", "tmpfs", "warning"),
        ("/dev/shmother", "devtmpfs", "ok"),
        ("/srv/shared files/outbox", "nfs4", "problem"),
        ("/var/lib/docker/overlay/x", "overlay", "warning"),
        ("/mnt/twice", "fuse.sshfs", "problem"),
    ],
)
def test_the_file_system_is_known_by_its_mount(path: str, kind: str, verdict: Severity) -> None:
    assert kind_of(Path(path), MOUNTS) == kind
    found = check_mount(Path(path), MOUNTS)
    assert found.severity == verdict
    assert bool(found.advice) is (verdict != "ok")


@pytest.mark.parametrize("kind", ["cifs", "smb3", "nfs", "9p", "ceph", "fuse.sshfs"])
def test_network_file_systems_are_a_problem(kind: str) -> None:
    assert check_mount(Path("/x"), f"1 0 0:1 / / rw - {kind} x rw").severity == "problem"


def test_without_a_mount_table_the_file_system_is_unknown() -> None:
    assert kind_of(Path("/x"), "") is None
    assert check_mount(Path("/x"), None).message.startswith("not known")
    assert check_mount(Path("/x"), "1 0 0:1 / / rw - fuse.unknown x rw").severity == "warning"


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        (FACTS, "ok", "mode 700"),
        (replace(FACTS, is_there=False, path=Path("/var/lib")), "ok", "can be made in /var/lib"),
        (replace(FACTS, mode=0o755), "ok", "passerby-store in it has mode 700"),
        (replace(FACTS, mode=0o2770), "warning", "its group may write"),
        (replace(FACTS, mode=0o777), "warning", "all users may write"),
        (replace(FACTS, mode=0o1777), "ok", "mode 1777"),
        (replace(FACTS, owner=33), "warning", "user number 33"),
        (replace(FACTS, is_writable=False), "problem", "may write to"),
        (replace(FACTS, is_read_only=True), "problem", "read-only"),
    ],
)
def test_the_directory_is_to_be_ones_own(facts: DirectoryFacts, verdict: Severity, words: str) -> None:
    found = check_permissions(facts)
    assert found.severity == verdict
    assert words in found.message


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        (FACTS, "ok"),
        (replace(FACTS, files=None), "ok"),
        (replace(FACTS, free=1_000_000_000), "warning"),
        (replace(FACTS, free=1_000_000), "problem"),
        (replace(FACTS, files=3), "problem"),
    ],
)
def test_there_is_to_be_room(facts: DirectoryFacts, verdict: Severity) -> None:
    assert check_space(facts).severity == verdict


@pytest.mark.parametrize(
    ("trial", "verdicts"),
    [
        (WriteTest(None, 0.01, True), ["ok", "ok"]),
        (WriteTest(None, 3.0, True), ["warning", "ok"]),
        (WriteTest(None, 0.01, False), ["ok", "problem"]),
        (WriteTest(None, 0.01, None), ["ok", "warning"]),
        (WriteTest("disk full"), ["problem"]),
    ],
)
def test_what_is_written_is_to_be_there_and_locks_to_hold(trial: WriteTest, verdicts: list[Severity]) -> None:
    assert [one.severity for one in check_write_test(trial)] == verdicts


@pytest.mark.parametrize(
    ("now", "newest", "monotonic", "verdict"),
    [
        (1.8e9, None, (1.0, 2.0), "ok"),
        (1.8e9, 1.8e9 + 5, (1.0, 2.0), "ok"),
        (1.8e9, 1.8e9 + 500, (1.0, 2.0), "warning"),
        (0.0, None, (1.0, 2.0), "problem"),
        (1e20, None, (1.0, 2.0), "problem"),
        (1.8e9, None, (1.0, 1.0), "problem"),
    ],
)
def test_the_clock_is_to_be_right(
    now: float, newest: float | None, monotonic: tuple[float, float], verdict: Severity
) -> None:
    assert check_clock(now, newest, monotonic).severity == verdict


def test_there_are_to_be_files_and_processes_left() -> None:
    assert check_open_files(None, 10).severity == "ok"
    assert check_open_files(1024, 10).severity == "ok"
    assert check_open_files(1024, 1000).severity == "warning"
    assert check_open_files(64, None).severity == "warning"
    assert check_processes(None, 10, whose="user").severity == "ok"
    assert check_processes(100, None, whose="user").severity == "ok"
    assert check_processes(100, 20, whose="user").severity == "ok"
    assert check_processes(100, 90, whose="container").severity == "warning"


def summary(waiting: int = 0, due: float | None = None, seen: float | None = 1.0, **more: Any) -> StoreSummary:
    """A store with waiting entries, the first due in so many seconds, and a deliverer seen so long ago."""
    counts = DestinationCounts(recorded=waiting, waiting=waiting, dead=more.get("dead", 0), next_due=due)
    return StoreSummary({"a": counts}, {"a": more.get("oldest", 0.0)}, None, seen)


@pytest.mark.parametrize(
    ("found", "quarantined", "verdicts"),
    [
        (StoreSummary(), 0, ["ok", "ok", "ok"]),
        (summary(3, -0.1), 0, ["ok", "ok", "ok"]),
        (summary(3, -0.1, seen=None), 0, ["ok", "ok", "ok"]),  # just recorded
        (summary(3, -61.0, seen=None), 0, ["problem", "ok", "ok"]),
        (summary(3, -0.1, seen=61.0), 0, ["problem", "ok", "ok"]),
        (summary(3, 20.0, seen=61.0), 0, ["ok", "ok", "ok"]),  # nothing is due
        (summary(3, -11.0), 0, ["warning", "ok", "ok"]),  # falls behind
        (summary(3, 20.0, oldest=9_000.0), 0, ["warning", "ok", "ok"]),
        (summary(dead=3), 0, ["ok", "warning", "ok"]),
        (summary(), 1, ["ok", "ok", "warning"]),
    ],
)
def test_what_waits_is_to_get_away(found: StoreSummary, quarantined: int, verdicts: list[Severity]) -> None:
    assert [one.severity for one in check_store(found, quarantined)] == verdicts


def test_settings_are_to_make_a_tracking() -> None:
    assert check_settings(None, {}).severity == "ok"
    good = {
        "PASSERBY_SITECORE_CLIENT_KEY": "hidden-key",
        "PASSERBY_SITECORE_TARGET_URL": "https://cdp.example",
        "PASSERBY_SITECORE_POINT_OF_SALE": "shop",
        "PASSERBY_SECRET_KEY": "a secret key that signs",
    }
    found = check_settings(None, good)
    assert found.severity == "ok"
    assert "sitecore" in found.message
    bad = check_settings(None, {**good, "PASSERBY_IP": "guess"})
    assert bad.severity == "problem"
    assert "PASSERBY_IP" in bad.message
    for one in (found, bad):
        assert "hidden-key" not in one.message
        assert "signs" not in one.message

    def refuse() -> Tracking:
        raise SettingsError("no", setting="PASSERBY")

    assert check_settings(refuse, {}).severity == "problem"
