"""What only the store on disk has: files, turns, damage."""

from __future__ import annotations

import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from passerby.outbox.contract import ExchangeBatch, ServiceReport, StorageError
from passerby.outbox.reading import StoreQuery
from passerby.outbox.sqlite import SqliteStore
from passerby.outbox.sqlite.directory import DATABASE, NAME, StoreDirectory

from .conftest import MakeSqlite
from .process import LEASE, Clock, Process, event_of, ids, is_long, recorded_of

MOST_OF_A_PAGE = 8
LONGEST_LOG = 12 << 20  # bytes; the space that is reserved for a full disk must hold it
HOLD_TURN = """
import sys, time
from passerby.outbox.sqlite import SqliteStore
store = SqliteStore(sys.argv[1])
with store.directory.turn():
    print("has it", flush=True)
    time.sleep(600)
"""


def edit(directory: Path, statement: str, *values: object) -> None:
    """Change the file as another program would."""
    with closing(sqlite3.connect(directory / NAME / DATABASE)) as connection:
        connection.execute(statement, values)
        connection.commit()


def files_of(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (directory / NAME).iterdir() if path.is_file()}


def test_a_later_process_finds_everything(make_sqlite: MakeSqlite, clock: Clock) -> None:
    """Decision "claims" over a crash: what a dead process had claimed is due again."""
    victim = Process(make_sqlite(clock=clock))
    recorded = [victim.put("ada"), victim.put("ben"), victim.put("cyd")]
    held = victim.hold("ada")
    claims = victim.claim(limit=1)
    victim.settle(victim.claim(limit=1), "retry", after=60.0)
    victim.send(reports=[ServiceReport("a", "failure", 5.0)])

    heir = Process(make_sqlite(clock=clock))
    assert heir.claim() == []
    clock.now += max(LEASE, 60.0) + 1
    assert sorted(heir.deliver_all()) == sorted(recorded)
    assert heir.command("release", "ada") == 1
    assert heir.deliver_all() == [held]
    assert heir.settle(claims, "dead").late == 1


def test_the_directory_is_of_this_user_alone(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "files": a sub-directory 0700 inside the named one, whatever that is."""
    directory.mkdir(mode=0o775)
    directory.chmod(0o775)
    Process(make_sqlite()).put("ada")
    assert stat.S_IMODE((directory / NAME).stat().st_mode) == 0o700
    for path in (directory / NAME).iterdir():
        assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path

    (directory / NAME).chmod(0o750)
    other = make_sqlite()
    with pytest.raises(StorageError, match="mode 0700") as refused:
        Process(other).put("ada")
    assert refused.value.is_final
    (directory / NAME).chmod(0o700)


@pytest.mark.parametrize("name", [DATABASE, f"{DATABASE}-wal", "turn.lock", "reserve"])
@pytest.mark.parametrize("kind", ["fifo", "symlink", "hard link", "directory"])
def test_special_files_are_refused(directory: Path, make_sqlite: MakeSqlite, name: str, kind: str) -> None:
    """Decision "files", defect 38: regular files of this user only, never through a link, never a blocking open."""
    (directory / NAME).mkdir(parents=True, mode=0o700)
    elsewhere = directory / "elsewhere"
    elsewhere.touch()
    path = directory / NAME / name
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "symlink":
        path.symlink_to(elsewhere)
    elif kind == "hard link":
        path.hardlink_to(elsewhere)
    else:
        path.mkdir()

    with pytest.raises(StorageError, match=rf"{name} is no regular file"):
        Process(make_sqlite()).put("ada")
    assert elsewhere.read_bytes() == b""


def test_files_of_an_earlier_outbox_are_refused(directory: Path, make_sqlite: MakeSqlite) -> None:
    """Decision "import of old files": none; a directory with such files is refused with words."""
    directory.mkdir()
    (directory / "4711-0123456789ab.sqlite3").touch()
    with pytest.raises(StorageError, match="unreleased outbox; name another directory"):
        Process(make_sqlite()).put("ada")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "virtiofs", "fuse.sshfs"])
def test_network_file_systems_are_refused(tmp_path: Path, kind: str) -> None:
    """Decision "platforms": nfs, cifs, 9p, virtiofs, fuse refused by type."""
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mounts"
    mounts.write_text(f"36 35 {os.major(device)}:{os.minor(device)} / /mnt rw - {kind} server:/ rw\n")
    with pytest.raises(StorageError, match=f"type {kind} has no safe locks; use a local disk"):
        StoreDirectory(tmp_path / "outbox", mounts).make()
    mounts.write_text(f"36 35 {os.major(device)}:{os.minor(device)} / /mnt rw shared:1 - ext4 /dev/vda rw\n")
    StoreDirectory(tmp_path / "outbox", mounts).make()


def test_a_file_of_a_newer_version_is_refused_unless_it_allows_us(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "two versions at once": schema changes are additive; the store holds min_reader."""
    store = make_sqlite()
    Process(store).put("ada")
    store.close()
    edit(directory, "PRAGMA user_version = 99")
    Process(make_sqlite()).put("ben")
    edit(directory, "UPDATE state SET value = '98' WHERE key = 'min_reader'")
    with pytest.raises(StorageError, match="newer version") as refused:
        Process(make_sqlite()).put("cyd")
    assert refused.value.is_final


def test_a_writer_on_another_machine_is_refused(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "platforms": the store keeps the kernel's boot ID and a heartbeat."""
    store = make_sqlite()
    Process(store).put("ada")
    store.close()
    change = "UPDATE state SET value = json_set(value, '$.boot', 'another', '$.beat', ?) WHERE key = 'store'"
    edit(directory, change, time.time())
    with pytest.raises(StorageError, match="another machine"):
        Process(make_sqlite()).put("ben")
    edit(directory, change, time.time() - 3_600)
    assert Process(make_sqlite()).put("cyd")


def test_a_change_of_the_clock_moves_no_lease(make_sqlite: MakeSqlite, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decision "claims": time is the store's; clock jumps."""
    process = Process(make_sqlite())
    process.put("ada")
    (claim,) = process.claim()
    real = time.time
    for jump in (7_200.0, -7_200.0):
        monkeypatch.setattr(time, "time", lambda jump=jump: real() + jump)
        assert Process(make_sqlite()).claim() == []
    process.settle([claim], "retry")
    (claim,) = Process(make_sqlite()).claim()
    assert 0.0 <= claim.age < 60.0


def test_waiting_too_long_for_a_turn_is_trouble(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "SQLite's turns": waiting over 1 s for a turn is trouble; a kill in a turn holds no process up."""
    process = Process(make_sqlite(patience=0.05))
    process.put("ada")
    with subprocess.Popen([sys.executable, "-c", HOLD_TURN, str(directory)], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(StorageError, match="waited too long for a turn"):
            process.put("ben")
        child.kill()
        child.wait()
    assert process.send(number=process.number, recorded=[recorded_of(event_of("ben"))]).previous == 1


def test_full_syncs_the_log_outside_the_turn(make_sqlite: MakeSqlite) -> None:
    """Decision "SQLite's turns": commit without sync inside the turn, one sync outside it, before the result."""
    synced: list[int] = []
    other = Process(make_sqlite(patience=5.0))
    other.put("ada")

    def sync(descriptor: int) -> None:
        other.put("ben")  # another process has a turn meanwhile
        synced.append(descriptor)

    process = Process(make_sqlite(synchronous="FULL", sync=sync))
    process.put("cyd")
    assert len(synced) == 1
    process.claim()
    assert len(synced) == 1, "claims need not survive a power cut"

    def fail(descriptor: int) -> None:
        raise OSError(5, "broken")

    with pytest.raises(StorageError, match="input/output error"):
        Process(make_sqlite(synchronous="FULL", sync=fail)).put("dan")


def test_nothing_of_a_purged_visitor_stays_on_disk(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "purge, suppression": secure_delete, and the log is truncated within the command."""
    process = Process(make_sqlite())
    for number in range(50):
        process.put("ada-the-visitor", user_id="user-the-first", size=number * 100)
        process.put("ben", size=50)
    for _ in range(20):
        process.settle(process.claim(), "delivered")
    process.hold("ada-the-visitor")
    process.link("visit 1", "ada-the-visitor")

    process.command("purge_visitor", "ada-the-visitor")
    process.command("purge_visitor", "visit 1")
    process.command("purge_visitor", "user-the-first")
    for name, data in files_of(directory).items():
        assert b"ada-the-visitor" not in data, name
        assert b"user-the-first" not in data, name


def test_reading_holds_no_process_up(make_sqlite: MakeSqlite) -> None:
    """Decision "contract": read holds no process up, and shows one moment."""
    store = make_sqlite(patience=5.0)
    process = Process(store)
    recorded = [process.put(f"visitor {number}") for number in range(50)]
    seen: list[int] = []

    def read() -> None:
        seen.extend(len(store.read(StoreQuery(limit=1000)).entries) for _ in range(20))

    thread = threading.Thread(target=read)
    thread.start()
    while thread.is_alive():
        process.put("ada")
    thread.join()
    assert len(seen) == 20
    assert seen == sorted(seen)
    assert seen[0] >= len(recorded)


def test_reading_needs_no_file(make_sqlite: MakeSqlite) -> None:
    assert make_sqlite().read(StoreQuery()).entries == ()


# Damage.


def is_damaged(process: Process) -> bool:
    """Whether a damaged file waits to be read."""
    assert isinstance(process.store, SqliteStore)
    return bool(process.store.directory.unsalvaged())


def deliver_what_is_left(make_sqlite: MakeSqlite) -> list[str]:
    """Deliver everything from a new process, which salvages what is damaged."""
    heir, seen = Process(make_sqlite()), list[str]()
    for _ in range(100_000):
        was_left = is_damaged(heir)
        claims = heir.claim(limit=500)
        if claims:
            seen += ids(claims)
            heir.settle(claims, "delivered")
        elif not (was_left or is_damaged(heir)):
            break
        for claim in claims:
            assert heir.counts().is_balanced
            assert claim.payload
    return seen


def test_a_deleted_file_is_begun_anew(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "damage": the others notice by inode."""
    one, other = Process(make_sqlite()), Process(make_sqlite())
    one.put("ada")
    other.put("ada")
    for path in (directory / NAME).glob(f"{DATABASE}*"):
        path.unlink()
    recorded = [one.put("ben"), other.put("cyd")]
    assert (one.last.previous, other.last.previous) == (0, 0), "a gap"
    assert sorted(one.deliver_all()) == sorted(recorded)


def test_a_removed_directory_is_made_again(make_sqlite: MakeSqlite, directory: Path) -> None:
    one, other = Process(make_sqlite()), Process(make_sqlite())
    one.put("ada")
    other.put("ada")
    for path in (directory / NAME).iterdir():
        path.unlink()
    (directory / NAME).rmdir()
    recorded = [one.put("ben"), other.put("cyd")]
    assert sorted(other.deliver_all()) == sorted(recorded)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE event SET payload = CAST(replace(payload, 'ADD', 'BUY') AS BLOB) WHERE event_id = ?",
        "UPDATE event SET visitor = CAST(x'ff41' AS TEXT) WHERE event_id = ?",
        "UPDATE event SET names = 'b' WHERE event_id = ?",
        "UPDATE entry SET sum = 77 WHERE seq >> 6 = (SELECT id FROM event WHERE event_id = ?)",
    ],
)
def test_a_damaged_row_is_quarantined_alone(make_sqlite: MakeSqlite, directory: Path, change: str) -> None:
    """Decision "damage", defect 31: a checksum with each payload; a bad row is counted, and the rest goes on."""
    process = Process(make_sqlite())
    recorded = [process.put(f"visitor {number}") for number in range(6)]
    edit(directory, change, recorded[2])

    assert process.deliver_all() == [*recorded[:2], *recorded[3:]]
    assert process.counts().dropped == {"damaged": 1}


def test_a_missing_row_has_all_pages_read(make_sqlite: MakeSqlite, directory: Path) -> None:
    process = Process(make_sqlite())
    recorded = [process.put(f"visitor {number}") for number in range(6)]
    edit(directory, "DELETE FROM event WHERE event_id = ?", recorded[2])
    assert sorted(deliver_what_is_left(make_sqlite)) == sorted([*recorded[:2], *recorded[3:]])


def test_a_row_that_only_an_index_has_is_noticed(make_sqlite: MakeSqlite, directory: Path) -> None:
    """A partition does not stand still because a damaged page hides its next entry."""
    process = Process(make_sqlite())
    recorded = [process.put("ben")]
    process.settle(process.claim(), "retry", after=3_600.0)  # a head of another partition is in good order
    recorded += [process.put("ada"), process.put("ada"), process.put("ada")]
    process.store.close()
    path = directory / NAME / DATABASE
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        index = connection.execute("SELECT * FROM sqlite_master WHERE name = 'entry_partition'").fetchone()
        connection.execute("DELETE FROM sqlite_master WHERE name = 'entry_partition'")
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:  # which does not know the index
        query = "DELETE FROM entry WHERE seq >> 6 = (SELECT id FROM event WHERE event_id = ?)"
        connection.execute(query, (recorded[2],))
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_master VALUES (?, ?, ?, ?, ?)", index)
        connection.commit()

    assert set(deliver_what_is_left(make_sqlite)) == set(recorded)


def test_checkpoints_sync_the_log_before_their_turn(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "SQLite's turns": checkpoints inside a turn only; what they sync is synced before it."""
    synced: list[int] = []
    other = Process(make_sqlite(patience=5.0))

    def sync(descriptor: int) -> None:
        other.put("ben")  # another process has a turn meanwhile
        synced.append(descriptor)

    process = Process(make_sqlite(sync=sync))
    for _ in range(40):
        process.record(*[event_of("ada", size=1_000) for _ in range(200)])
    assert synced
    assert (directory / NAME / DATABASE).stat().st_size > LONGEST_LOG / 2
    assert (directory / NAME / f"{DATABASE}-wal").stat().st_size < 1.5 * LONGEST_LOG


def test_an_entry_of_another_destination_is_not_delivered_there(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Defect 31: one flipped byte in one row's destination."""
    process = Process(make_sqlite())
    process.put("ada", "b")
    recorded = [process.put("ben"), process.put("cyd")]
    edit(
        directory,
        "UPDATE entry SET destination = 1 WHERE seq >> 6 = (SELECT id FROM event WHERE event_id = ?)",
        recorded[0],
    )

    process.deliver_all("b")
    assert process.last.counts["b"].waiting == 0
    assert set(deliver_what_is_left(make_sqlite)) <= set(recorded)


def test_what_is_sent_while_a_damaged_file_is_read_is_not_sent_again(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Decision "damage": so many events that reading them takes several exchanges."""
    process = Process(make_sqlite())
    for number in range(20):
        process.record(*(event_of(f"visitor {number} {each}") for each in range(200)))
    delivered, claimed = process.claim(limit=200), process.claim(limit=200)
    process.store.close()
    with (directory / NAME / DATABASE).open("r+b") as file:
        file.write(b"\xff" * 100)

    assert process.settle(delivered, "delivered").goes_on
    seen: list[str] = []
    while (claims := process.claim(limit=500)) or process.last.goes_on:
        seen += ids(claims)
        process.settle(claims, "delivered")
    process.settle(claimed, "delivered")

    assert process.last.late == 0
    assert len(seen) == len({*seen} - {*ids(delivered), *ids(claimed)}) == 3_600


@pytest.mark.parametrize("damage", ["garbage", "empty", "header", "half", "foreign"])
def test_a_damaged_file_is_quarantined_and_read(make_sqlite: MakeSqlite, directory: Path, damage: str) -> None:
    """Decision "damage": quarantined, and a new one begun within one exchange; salvage reads rows from raw pages."""
    victim = make_sqlite()
    process = Process(victim)
    recorded = [process.put(f"visitor {number % 20}", "a", "b", size=number * 40) for number in range(150)]
    held = process.hold("visitor 1")
    process.settle(process.claim(), "delivered")
    done = set(recorded) - {entry.event_id for entry in victim.read(StoreQuery(destination="a", limit=1000)).entries}
    victim.close()
    path = directory / NAME / DATABASE
    data = path.read_bytes()
    damaged = {
        "garbage": data[:5000] + b"\xff" * 3000 + data[8000:],
        "empty": b"",
        "header": b"\xff" * 100 + data[100:],
        "half": data[: len(data) // 2],
        "foreign": b"not a database" * 1000,
    }[damage]
    path.write_bytes(damaged)

    survivor = Process(make_sqlite())
    new = survivor.put("visitor 1")
    seen = deliver_what_is_left(make_sqlite)
    whole = [each for each in [*recorded, held] if each.encode() in damaged]
    assert new in seen
    assert len(seen) == len(set(seen))
    if damage == "header":
        assert set(seen) == {*recorded, new} - done
        assert survivor.command("release", "visitor 1") == 1
    assert len(set(recorded) & set(seen)) >= 0.8 * len(set(whole) - done - {held})
    assert [each for each in seen if each != new and each not in recorded] == []


def test_salvage_keeps_the_order_and_puts_it_before_what_is_new(make_sqlite: MakeSqlite, directory: Path) -> None:
    victim = make_sqlite()
    process = Process(victim)
    recorded = [process.put("ada") for _ in range(20)]
    victim.close()
    with (directory / NAME / DATABASE).open("r+b") as file:
        file.write(b"\xff" * 100)
    heir = Process(make_sqlite())
    new = heir.put("ada")
    while is_damaged(heir):
        heir.send()
    assert heir.deliver_all() == [*recorded, new]


@pytest.mark.parametrize("seed", range(200) if is_long() else range(4))
def test_random_damage_alters_nothing_and_loses_only_what_it_hits(
    make_sqlite: MakeSqlite, directory: Path, seed: int
) -> None:
    """What must be survived: file corrupted in random places; every row whose bytes are whole is delivered."""
    chance = random.Random(seed)
    victim = make_sqlite()
    process = Process(victim)
    events = [event_of(f"visitor {number % 30}", size=chance.randrange(900)) for number in range(300)]
    for start in range(0, 300, 50):
        process.record(*events[start : start + 50])
    payloads = {event.id: recorded_of(event).payload for event in events}
    victim.reset_after_fork()  # the process dies: nothing is closed, and the log stays
    for _ in range(chance.randrange(1, 12)):
        path = chance.choice(list((directory / NAME).glob(f"{DATABASE}*")))
        size = path.stat().st_size
        if size and not path.name.endswith("-shm"):
            with path.open("r+b") as file:
                file.seek(chance.randrange(size))
                file.write(chance.randbytes(chance.choice([1, 1, 8, 300])))
    left = b"".join(data for name, data in files_of(directory).items() if name.startswith(DATABASE))
    whole = [event_id for event_id, payload in payloads.items() if payload in left]

    heir = Process(make_sqlite())
    seen: list[str] = []
    for _ in range(20_000):
        was_left = is_damaged(heir)
        claims = heir.claim(limit=100)
        was_left = was_left or is_damaged(heir)
        for claim in claims:
            assert claim.payload == payloads[claim.event_id], "altered"
        seen += ids(claims)
        heir.settle(claims, "delivered")
        if not (claims or was_left):
            break
    # Where a page is damaged while it is changed, SQLite may spoil what is beside the damage.
    assert len(set(whole) - set(seen)) <= MOST_OF_A_PAGE, (len(seen), len(whole))


def test_a_damaged_log_is_read_beyond_the_damage(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Defect 32: damage in the log; nothing is deleted that was not read."""
    victim = make_sqlite()
    process = Process(victim)
    recorded = [process.put(f"visitor {number}") for number in range(40)]
    victim.reset_after_fork()
    log = directory / NAME / f"{DATABASE}-wal"
    with log.open("r+b") as file:
        file.seek(log.stat().st_size // 3)
        file.write(b"\xff" * 30)
    for path in (directory / NAME).glob(f"{DATABASE}-shm"):
        path.unlink()

    seen = deliver_what_is_left(make_sqlite)
    assert len(set(seen) & set(recorded)) >= 39, len(seen)


def test_a_reader_of_a_damaged_file_says_so(make_sqlite: MakeSqlite, directory: Path) -> None:
    """Defect 30: no command says "nothing waits" over what it could not read."""
    store = make_sqlite()
    Process(store).put("ada")
    store.close()
    (directory / NAME / DATABASE).write_bytes(b"\xff" * 8192)
    with pytest.raises(StorageError, match="damaged"):
        make_sqlite().read(StoreQuery())


def test_a_file_replaced_by_an_older_copy_shows_a_gap(make_sqlite: MakeSqlite, directory: Path) -> None:
    store = make_sqlite()
    process = Process(store)
    process.put("ada")
    store.close()
    path = directory / NAME / DATABASE
    copy = path.read_bytes()
    process.put("ben")
    store.close()
    path.unlink()
    path.write_bytes(copy)
    path.chmod(0o600)
    process.put("cyd")
    assert process.last.previous == 1
    assert store.exchange(ExchangeBatch("x", 0, 0.0, counts=True)).counts["a"].waiting == 2
