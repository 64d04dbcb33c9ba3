"""Processes that share one file and to which things happen in the middle of it."""

from __future__ import annotations

import fcntl
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from ..finding import Finding
from ..process import Process
from ..scene import Scene, Trial, scene

STOPPED, STOPPED_LONG = 2.0, 60.0  # seconds
RESUMES = 2.0  # seconds until others have their turns again
MANY, MANY_LONG = 2_000, 50_000  # events of one visitor
KILLING, KILLING_LONG = 10.0, 900.0  # seconds
MOST_DEATHS = 15
MANY_TO_KILL = 5
ANY_NUMBER = 10**6


def _new(where: Scene, process: Process, number: int, patience: float = 20.0) -> None:
    """Wait until a process has recorded so many more events."""
    for _ in range(number):
        process.wait_for("recorded", patience)


def in_turn(trial: Trial) -> Iterator[Finding]:
    """Stop or kill a process that holds the turn; the others go on."""
    yield _parent_dies()
    yield _stopped_in_turn(STOPPED_LONG if trial.is_long else STOPPED)
    yield _stopped_past_lease()


def _parent_dies() -> Finding:
    with scene() as where:
        parent = where.begin("die_at", point="before commit", number=5, is_busy=True, has_child=True)
        parent.popen.wait(30)
        begun = time.monotonic()
        process = where.begin("record_some", number=20, ending="pause")
        process.wait_for("ready")
        took = time.monotonic() - begun
        is_alive = Path(f"/proc/{parent.wait_for('child')[0]}").exists()
        where.kill(process)
        where.kill(parent)
        where.finish()
        finding = where.finding("parent killed in its turn", "its child lives on", duplicates=ANY_NUMBER)
        finding.notes.append(f"another process had recorded 20 events {took:.1f} s later")
        finding.expect(is_alive, "the child did not live on")
        return finding


def _stopped_in_turn(seconds: float) -> Finding:
    with scene() as where:
        other = where.begin("keep_recording", gap=0.02)
        _new(where, other, 5)
        stopped = where.begin("stop_in_turn", number=20)
        gives_up = time.monotonic() + 30
        while _state_of(stopped) != "T" and time.monotonic() < gives_up:
            time.sleep(0.005)
        is_stopped = _state_of(stopped) == "T"
        time.sleep(seconds)
        heard = len(other.recorded)
        begun = time.monotonic()
        stopped.send(signal.SIGCONT)
        while len(other.recorded) < heard + 50 and time.monotonic() < begun + 20:
            time.sleep(0.01)
        resumed = time.monotonic() - begun
        where.kill(other)
        where.kill(stopped)
        where.finish()
        finding = where.finding("process stopped in its turn", f"for {seconds:.0f} s, then killed", duplicates=200)
        finding.notes.append(f"50 events of another process were recorded {resumed:.1f} s after its return")
        finding.expect(is_stopped, "it was not stopped")
        finding.expect(resumed <= RESUMES * 2, f"the other one went on after {resumed:.1f} s only")
        return finding


def _state_of(process: Process) -> str:
    return Path(f"/proc/{process.popen.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


def _stopped_past_lease() -> Finding:
    with scene() as where:
        where.collector.fail("events", status=None, delay=0.05)
        first = where.begin("keep_recording", gap=0.01)
        _new(where, first, 100)
        first.send(signal.SIGSTOP)
        while not _is_turn_free(where):  # another scenario stops it there
            first.send(signal.SIGCONT)
            time.sleep(0.02)
            first.send(signal.SIGSTOP)
            time.sleep(0.01)
        where.recorded.update(first.recorded)
        where.pass_time()
        second = where.begin("keep_recording", gap=0.01)
        is_delivered = where.arrivals.wait_for(where.recorded, 30.0)
        first.send(signal.SIGCONT)
        _new(where, first, 100)
        where.collector.clear_faults()
        where.kill(first)
        where.kill(second)
        where.finish()
        # What it had claimed came again, and what it had when it came back.
        finding = where.finding("deliverer stopped past its lease", "and back", duplicates=200)
        finding.expect(is_delivered, "another process did not deliver what the stopped one had claimed")
        return finding


def _is_turn_free(where: Scene) -> bool:
    with where.database.with_name("turn.lock").open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def more_and_fewer(trial: Trial) -> Iterator[Finding]:
    """Have one, eight and one process deliver, under load."""
    with scene() as where:
        app = where.begin("keep_recording", gap=0.005, settings={"deliver": "worker"})
        workers = [where.begin("deliver")]
        _new(where, app, 50)
        workers += [where.begin("deliver") for _ in range(7)]
        for worker in workers:
            worker.wait_for("ready")
        _new(where, app, 300)
        for worker in workers[1:]:
            worker.send(signal.SIGTERM)
        codes = [worker.wait() for worker in workers[1:]]
        _new(where, app, 100)
        where.kill(app)
        where.kill(workers[0])
        where.finish()
        finding = where.finding("1, 8 and 1 processes deliver", "under load, ended by SIGTERM", duplicates=10)
        finding.expect(set(codes) <= {0, -signal.SIGTERM, 128 + signal.SIGTERM}, f"they ended with {codes}")
        yield finding


def crowded(trial: Trial) -> Iterator[Finding]:
    """Let one visitor have very many events; the others must not wait behind them."""
    number = MANY_LONG if trial.is_long else MANY
    with scene() as where:
        where.collector.stop()
        bot = where.begin("record_some", number=number, ending="pause", visitors=1)
        bot.wait_for("ready", 600.0)
        where.kill(bot)
        others = where.begin("record_some", number=40, ending="pause")
        others.wait_for("ready")
        where.bring_back()
        where.pass_time()
        begun = time.monotonic()
        is_delivered = where.arrivals.wait_for(set(others.recorded), 30.0)
        took = time.monotonic() - begun
        ahead = len(where.arrivals.bodies)
        where.kill(others)
        where.finish(patience=60.0 + number / 100)
        finding = where.finding("a visitor with very many events", f"{number:,} of one visitor", duplicates=200)
        finding.notes.append(f"40 of others arrived after {took:.1f} s, {ahead} events in all")
        finding.expect(is_delivered and ahead < number // 2, "others waited behind them")
        yield finding


def poison(trial: Trial) -> Iterator[Finding]:
    """Have an event whose body kills its deliverer: it ends as a dead letter, and all others arrive."""
    with scene() as where:
        where.collector.stop()
        app = where.begin("record_some", number=30, ending="pause")
        app.wait_for("ready")
        where.kill(app)
        where.bring_back()
        poisonous = app.recorded[3]
        deaths = 0
        for _ in range(MOST_DEATHS):
            where.pass_time()
            worker = where.begin("deliver", poison=poisonous)
            worker.wait_for("ready")
            if where.arrivals.wait_for(where.recorded - {poisonous}, 3.0) and worker.is_running:
                break
            worker.kill()
            deaths += 1
        time.sleep(1.0)
        where.pass_time()
        where.finish(patience=0.0)
        dead = where.ledger["dead"]
        where.ledger["dead"] = 0
        where.recorded.discard(poisonous)
        finding = where.finding("an event that kills who sends it", f"{deaths} deaths", duplicates=10 * deaths)
        finding.notes.append(f"{dead} dead letter")
        finding.expect(dead == 1, f"{dead} dead letters where 1 was to be expected")
        yield finding


def purge(trial: Trial) -> Iterator[Finding]:
    """Purge a visitor whose events are claimed, sent and put off; none of them arrives any more."""
    with scene() as where:
        where.store.clear()  # the command goes by the store's own clock, and all have to go by the same
        where.collector.fail("events")
        process = where.begin("record_and_purge", number=200)
        (visitor,) = process.wait_for("visitor", 60.0)
        purged = {line.split()[1] for line in list(process.lines) if line.startswith("gone ")}
        command = [str(Path(sys.executable).with_name("passerby")), "outbox", "purge", "--outbox", str(where.directory)]
        purging = where.keep(Process([*command, "--visitor", visitor, "--yes"]))
        code = purging.wait(60.0)
        where.collector.clear_faults()
        process.say()
        process.wait()
        where.hear(process)
        where.finish()
        late = purged & where.arrivals.bodies.keys()
        finding = where.finding("a visitor is purged", f"with {len(purged)} events in claims and retries", duplicates=0)
        finding.notes.append(f"the command ended with {code}: {' '.join(purging.lines[-1:])}")
        finding.expect(code == 0, f"the command ended with {code}: {purging.last_words}")
        finding.expect(not late, f"{len(late)} purged events arrived")
        yield finding


def gone(trial: Trial) -> Iterator[Finding]:
    """Delete or replace the file, or remove the directory, under two running processes."""
    for name, spoil in _LOSSES.items():
        yield _lose(name, spoil)


def _lose(name: str, spoil: Callable[[Scene], object]) -> Finding:
    with scene() as where:
        processes = [where.begin("keep_recording", gap=0.01) for _ in range(2)]
        for process in processes:
            _new(where, process, 30)
        where.arrivals.wait_for({recorded for each in processes for recorded in each.recorded}, 20.0)
        before = {recorded for each in processes for recorded in each.recorded}
        spoil(where)
        after = [len(process.recorded) for process in processes]
        begun = time.monotonic()
        gives_up = begun + 20.0
        while any(len(each.recorded) < number + 50 for each, number in zip(processes, after, strict=True)):
            if time.monotonic() > gives_up:
                break
            time.sleep(0.02)
        took = time.monotonic() - begun
        for process in processes:
            where.kill(process)
        where.finish(patience=5.0)
        lost = where.recorded - where.arrivals.bodies.keys()
        # What was only in the file that was removed is lost with it: a few events around that moment.
        finding = where.finding(name, "under two running processes", ANY_NUMBER, dropped={"removed": len(lost)})
        finding.notes.append(f"50 more were recorded by each {took:.1f} s later")
        finding.expect(not lost & before, f"{len(lost & before)} that had arrived are missing")
        finding.expect(len(lost) <= 50, f"{len(lost)} are lost")
        finding.expect(took <= 10.0, f"recording went on after {took:.1f} s only")
        return finding


def _delete_file(where: Scene) -> None:
    for ending in ("", "-wal", "-shm"):
        where.database.with_name(where.database.name + ending).unlink(missing_ok=True)


def _replace_file(where: Scene) -> None:
    alien = where.database.with_name("alien")
    with closing(sqlite3.connect(alien)) as connection:
        connection.executescript("CREATE TABLE entry (a, b); INSERT INTO entry VALUES (1, 2);")
    alien.chmod(0o600)
    alien.rename(where.database)


def _remove_directory(where: Scene) -> None:
    where.directory.rename(where.directory.with_name("removed"))
    shutil.rmtree(where.directory.with_name("removed"), ignore_errors=True)


_LOSSES: dict[str, Callable[[Scene], object]] = {
    "the file is deleted": _delete_file,
    "the file is replaced": _replace_file,
    "the directory is removed": _remove_directory,
}


def containers(trial: Trial) -> Iterator[Finding]:
    """Have two containers (PID and mount namespaces of their own) use one directory; kill one of them."""
    name = "two containers on one volume"
    unshare = ["unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    if not trial.is_root or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        yield Finding(name, "", skipped="no namespaces can be made here")
        return
    with scene() as where:
        both = [where.begin("keep_recording", gap=0.005, within=unshare) for _ in range(2)]
        for process in both:
            _new(where, process, 100)
        where.kill(both[0])
        _new(where, both[1], 100)
        where.kill(both[1])
        where.finish()
        yield where.finding(name, "one killed, then the other", duplicates=2 * 200)


def together(trial: Trial) -> Iterator[Finding]:
    """Kill processes that share one file, and check the file after each kill."""
    seconds = trial.minutes * 60 if trial.minutes else KILLING_LONG if trial.is_long else KILLING
    with scene() as where:
        running = [where.begin("keep_recording", gap=0.002) for _ in range(MANY_TO_KILL)]
        for process in running:
            process.wait_for("recorded")
        kills, broken, until = 0, 0, time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(trial.random.uniform(0.05, 0.25))
            busy = [place for place, process in enumerate(running) if process.recorded]
            if not busy:
                continue
            place = trial.random.choice(busy)
            where.kill(running[place])
            kills += 1
            broken += not _is_intact(where.database)
            where.pass_time()
            running[place] = where.begin("keep_recording", gap=0.002)
        for process in running:
            where.kill(process)
        where.finish(patience=60.0)
        version = sqlite3.sqlite_version
        finding = where.finding(
            f"kill -9 of processes that share a file, SQLite {version}",
            f"{kills} kills in {seconds:.0f} s, PRAGMA integrity_check after each",
            duplicates=MANY_TO_KILL * 100 * kills,  # those that live on lose their claims by the clock too
        )
        finding.expect(not broken, f"integrity_check failed {broken} times")
        yield finding


def _is_intact(path: Path) -> bool:
    with closing(sqlite3.connect(path, timeout=30.0)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
