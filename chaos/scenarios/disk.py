"""T9, T10 and T11: disks that are full, directories that cannot be used, and files that are damaged."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from ..finding import Finding
from ..need import NOBODY
from ..process import Process
from ..scene import Scene, Trial, scene
from ..victim import VISITORS

PAGE = 4096  # bytes
BACKLOG = 300  # events in the file that is damaged
# What may come twice: the event that was stored last, which is stored again because the file with it is quarantined,
# and the first two of each visitor, of which one is sent and one is answered when the damage is found.
AT_MOST = 1 + 2 * VISITORS
START = 2.0  # seconds until a process that finds a damaged file has recorded something new


# T9: full


def full(trial: Trial) -> Iterator[Finding]:
    """Fill the disk under a running app, and then make room; then see that the policy of a full outbox holds."""
    yield _limited_files()
    if trial.is_root:
        with _small_disk() as disk:
            yield (
                _finding_not_tried("T9 full tmpfs", "no file system can be mounted here")
                if disk is None
                else (_full_disk(disk))
            )
    else:
        yield _finding_not_tried("T9 full tmpfs", "only root mounts file systems")
    for policy in ("drop_newest", "drop_oldest"):
        yield _bounded(policy)


def _finding_not_tried(name: str, why: str) -> Finding:
    return Finding(name, "", skipped=why)


def _limited_files() -> Finding:
    with scene() as where:
        process = where.begin("answer_in_need", need="file size")
        return through_need(where, process, "T9 files that may not grow (RLIMIT_FSIZE)", lambda: None)


@contextmanager
def _small_disk() -> Iterator[Path | None]:
    """A disk of 48 megabytes, in memory; None if there can be none."""
    with tempfile.TemporaryDirectory(prefix="passerby-chaos-") as name:
        mounting = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", name], capture_output=True, check=False
        )
        if mounting.returncode:
            yield None
            return
        try:
            yield Path(name)
        finally:
            subprocess.run(["umount", "--lazy", name], check=True)


def _full_disk(disk: Path) -> Finding:
    with scene(disk) as where:
        process = where.begin("answer_in_need", need="nothing")
        process.wait_for("well")
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            while _writes(file.fileno()):
                pass
        process.say("in need")
        return through_need(where, process, "T9 full tmpfs", ballast.unlink)


def _writes(descriptor: int) -> bool:
    try:
        return os.write(descriptor, b"\0" * PAGE) > 0
    except OSError:
        return False


def through_need(
    where: Scene, process: Process, name: str, relieve: Callable[[], object], is_felt: bool = True
) -> Finding:
    """Have an app answer while it is in need, and again when that is over; all it recorded has to arrive.

    Args:
        relieve: ends the need, where the process itself does not.
        is_felt: whether the outbox is to be degraded meanwhile.
    """
    state = " ".join(process.wait_for("need"))
    relieve()
    process.say("over")
    after = " ".join(process.wait_for("relief"))
    process.wait()
    where.hear(process)
    where.finish()
    finding = where.finding(name, "answered through it")
    statuses = {line.split()[1] for line in process.lines if line.startswith("answered ")}
    finding.notes.append(f'"{state}", then "{after}"')
    finding.expect(statuses == {"200"}, f"pages were answered by {statuses}")
    finding.expect(state.startswith("degraded" if is_felt else "ok"), f'the state was "{state}"')
    finding.expect(after == "ok", f'the state stayed "{after}"')
    complaints = [line for line in process.complaints if "WARNING" in line and "cannot be written" in line]
    finding.expect(len(complaints) <= 2, f"{len(complaints)} lines in the log")
    return finding


def _bounded(policy: str) -> Finding:
    room, number = 50, 200
    with scene() as where:
        where.collector.stop()
        settings = {"max_events": room, "when_full": policy, "concurrency": 1}
        process = where.begin("record_some", number=number, ending="ledger", settings=settings)
        process.wait_for("ready")
        where.bring_back()
        where.collector.wait_for_events(room, 30.0)
        process.say()
        ledger = process.wait_for_ledger()
        process.wait()
        where.hear(process)
        where.finish(patience=0.0)  # what was dropped will not come
        finding = where.finding(
            f"T9 an outbox with room for {room}, {policy}", f"{number} recorded", dropped=ledger["dropped"]
        )
        finding.expect(ledger["is_balanced"], f"the ledger does not add up: {ledger}")
        finding.expect(ledger["dropped"] == {"full": number - room}, f"dropped were {ledger['dropped']}")
        kept = [event_id in where.arrivals.bodies for event_id in process.recorded]
        if policy == "drop_newest":
            finding.expect(kept == sorted(kept, reverse=True), "others than the first were kept")
        else:
            lanes = [kept[visitor::VISITORS] for visitor in range(VISITORS)]
            # The first of a visitor may be under way, and is not dropped then.
            torn = [lane for lane in lanes if lane[1:] != sorted(lane[1:])]
            finding.expect(not torn, f"of {len(torn)} visitors others than the last were kept")
        return finding


# T10: no place


def no_place(trial: Trial) -> Iterator[Finding]:
    """Give an app a directory that it cannot use any more; it goes on, says so, and records once that has changed."""
    with ThreadPoolExecutor(3) as pool:
        yield from pool.map(
            _answer_without_place,
            ("a read-only directory", "a directory in a place that is not ours", "another user's directory"),
            (_make_read_only, _leave_missing, _make_somebody_elses),
            (_give_away, _open_parent, _give_away),
        )


def _answer_without_place(name: str, spoil: Callable[[Path], object], repair: Callable[[Path], object]) -> Finding:
    with scene() as where:
        if os.getuid() == 0:
            os.chown(where.directory.parent, NOBODY, NOBODY)
        process = where.begin("answer_in_need", need="place")
        process.wait_for("made")
        spoil(where.directory)
        process.say("it cannot be used any more")
        return through_need(where, process, f"T10 {name}", partial(repair, where.directory))


def _make_read_only(directory: Path) -> None:
    directory.mkdir(mode=0o500)
    if os.getuid() == 0:
        os.chown(directory, NOBODY, NOBODY)


def _make_somebody_elses(directory: Path) -> None:
    directory.mkdir(mode=0o700 if os.getuid() == 0 else 0o000)


def _leave_missing(directory: Path) -> None:
    directory.parent.chmod(0o511)


def _give_away(directory: Path) -> None:
    directory.chmod(0o700)
    if os.getuid() == 0:
        os.chown(directory, NOBODY, NOBODY)


def _open_parent(directory: Path) -> None:
    directory.parent.chmod(0o711)
    if os.getuid() == 0:
        os.chown(directory.parent, NOBODY, NOBODY)


# T11: damaged


def damaged(trial: Trial) -> Iterator[Finding]:
    """Damage the file of a dead process; the next one starts, quarantines the file, and saves what can be read."""
    with ThreadPoolExecutor(3) as pool:
        jobs = [
            pool.submit(_damage, name, damage, at_least, Random(trial.random.random()))
            for name, (damage, at_least) in _DAMAGES.items()
        ]
        for job in jobs:
            yield job.result()


def _damage(name: str, damage: Callable[[Path, Random], None], at_least: int, random: Random) -> Finding:
    with scene() as where:
        path = _leave_backlog(where)
        damage(path, random)
        where.pass_time()
        begun = time.monotonic()
        process = where.begin("record_some", number=1, ending="ledger")
        process.wait_for("ready")
        took = time.monotonic() - begun
        fresh = set(process.recorded)
        where.arrivals.wait_for(fresh, 30.0)
        gives_up = time.monotonic() + 20.0
        while list(path.parent.glob("*.corrupt-*")) and time.monotonic() < gives_up:
            time.sleep(0.05)
        process.say()  # it delivers all that it has saved, and then says its figures
        ledger = process.wait_for_ledger()
        process.wait()
        where.hear(process)
        saved = len(where.arrivals.bodies.keys() - fresh)
        dropped = {"damaged": BACKLOG - saved}
        finding = where.finding(f"T11 {name}", f"{BACKLOG} in the file", duplicates=AT_MOST, dropped=dropped)
        salvaged = list(path.parent.glob("*.salvaged-*"))
        finding.notes.append(f"{saved} saved, recorded anew after {took:.2f} s")
        finding.expect(ledger["is_balanced"], f"the ledger does not add up: {ledger}")
        finding.expect(ledger["pending"] == 0, f"{ledger['pending']} are still pending")
        finding.expect(fresh <= where.arrivals.bodies.keys(), "what was recorded afterwards did not arrive")
        finding.expect(saved >= at_least, f"only {saved} were saved, expected {at_least}")
        finding.expect(took <= START, f"the start took {took:.2f} s, more than {START} s")
        if name == "a newer version's schema":
            finding.expect(path.exists() and not salvaged, "the file was not left to the newer version")
        elif name != "0 bytes":  # as of a process that died before it had written anything
            finding.expect(bool(salvaged) and path.exists(), "the file was not quarantined")
        return finding


def _leave_backlog(where: Scene) -> Path:
    """Have a process die with events in its file, and no log beside it: only the file is to be damaged."""
    where.collector.stop()
    process = where.begin("record_some", number=BACKLOG, ending="pause")
    process.wait_for("ready")
    where.kill(process)
    where.bring_back()
    path = where.database
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return path


def _empty(path: Path, random: Random) -> None:
    path.write_bytes(b"")


def _truncate(path: Path, random: Random) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def _overwrite_pages(path: Path, random: Random) -> None:
    with path.open("r+b") as file:
        for page in random.sample(range(10, path.stat().st_size // PAGE), 5):
            file.seek(page * PAGE)
            file.write(random.randbytes(PAGE))


def _overwrite_header(path: Path, random: Random) -> None:
    with path.open("r+b") as file:
        file.write(random.randbytes(100))


def _make_alien(path: Path, random: Random) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE entry (a, b); INSERT INTO entry VALUES (1, 2);")
    connection.close()


def _make_newer(path: Path, random: Random) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


# How a file is damaged, and how many of its events have to be saved at least.
_DAMAGES: dict[str, tuple[Callable[[Path, Random], None], int]] = {
    "0 bytes": (_empty, 0),
    "a truncated file": (_truncate, BACKLOG // 3),
    "random pages": (_overwrite_pages, BACKLOG // 3),
    "a garbage header": (_overwrite_header, BACKLOG),
    "another program's schema": (_make_alien, 0),
    "a newer version's schema": (_make_newer, 0),
}
