"""What becomes of events when a process exits or forks: real processes, and a service found by its name."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from passerby.collector import CollectorServer
from passerby.outbox.reading import StoreQuery
from passerby.outbox.sqlite import SqliteStore
from tests.making import Stopwatch

ROOT = Path(__file__).parents[2]
PATIENCE = 60  # seconds, on the slowest machine

BEGIN = """
import atexit, multiprocessing, os, signal, sys, threading, time
ending = watch = None  # set by scripts that want to know how long passerby held up their exit
atexit.register(lambda: watch and print(time.monotonic() - ending, watch.seconds))  # called after passerby's own
from uuid import uuid4
from passerby import Sitecore, Tracking

url, close_timeout = sys.argv[1], float(sys.argv[2])
tracking = Tracking(
    Sitecore(client_key="key", target_url=url, point_of_sale="shop"),
    secret_key="a key for tests", close_timeout=close_timeout, retry_base=0.05, request_timeout=60.0,
    outbox=os.environ["OUTBOX"],
)

def tell(who, times):
    tracker = tracking.for_visitor(str(uuid4()))
    for number in range(times):
        tracker.event("STEP", {"who": who, "number": number})
"""


# The last line of a script that prints in the end for how long it was held up: by the clock, and while the machine ran.
MEASURE_EXIT = (
    f"sys.path.insert(0, {str(ROOT)!r}); from tests.making import Stopwatch; "
    "ending, watch = time.monotonic(), Stopwatch().__enter__()"
)


@pytest.fixture
def collector() -> Iterator[CollectorServer]:
    with CollectorServer(accept_any_browser_id=True) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite"], autouse=True)
def outbox(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the events of the scripts wait."""
    outbox = "memory" if request.param == "memory" else f"sqlite://{tmp_path}/outbox"
    monkeypatch.setenv("OUTBOX", outbox)
    return outbox


class Script:
    """A script in a process of its own."""

    def __init__(self, folder: Path, text: str, url: str, close_timeout: float = 40.0, *options: str) -> None:
        file = folder / "script.py"
        file.write_text(BEGIN + textwrap.dedent(text))
        self.process = subprocess.Popen(
            [sys.executable, *options, str(file), url, str(close_timeout)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; return exit code, output and complaints."""
        try:
            out, err = self.process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running: {self.process.communicate()}") from None
        return self.process.returncode, out, err


def number_kept(outbox: str) -> int:
    """How many events a process has left on disk."""
    store = SqliteStore(outbox.removeprefix("sqlite://"))
    number = len(store.read(StoreQuery(("waiting",), limit=10_000)).entries)
    store.close()
    return number


def by_name(collector: CollectorServer) -> str:
    return f"http://localhost:{collector.port}"


def told(collector: CollectorServer) -> Counter[str]:
    """How many events arrived by who told them; each of them once and in order."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for event in collector.events:
        numbers.setdefault((event["who"], event["browser_id"]), []).append(event["number"])
    for found in numbers.values():
        assert found == list(range(len(found)))
    counts: Counter[str] = Counter()
    for (who, _), found in numbers.items():
        counts[who] += len(found)
    return counts


# Exit


@pytest.mark.parametrize(
    "ending",
    ["", "sys.exit(0)", "thread = threading.Thread(target=sys.exit); thread.start(); thread.join()"],
    ids=["end of script", "sys.exit", "sys.exit in a thread"],
)
def test_what_was_told_just_before_the_end_is_delivered(
    collector: CollectorServer, tmp_path: Path, ending: str
) -> None:
    script = Script(tmp_path, f"tell('script', 20)\n{ending}\n", by_name(collector), 40.0, "-W", "error")

    assert script.end() == (0, "", "")
    assert told(collector) == {"script": 20}


def test_what_another_thread_tells_before_the_end_is_delivered(collector: CollectorServer, tmp_path: Path) -> None:
    text = "tell('main', 1)\nthreading.Thread(target=tell, args=('thread', 20)).start()"

    assert Script(tmp_path, text, by_name(collector)).end() == (0, "", "")
    assert told(collector) == {"main": 1, "thread": 20}


def test_what_was_told_before_an_exception_or_ctrl_c_is_delivered(collector: CollectorServer, tmp_path: Path) -> None:
    for ending, name in (("signal.raise_signal(signal.SIGINT)", "KeyboardInterrupt"), ("1 / 0", "ZeroDivisionError")):
        code, out, err = Script(tmp_path, f"tell('{name}', 20)\n{ending}", by_name(collector)).end()

        assert (code != 0, out) == (True, "")
        assert err.count("Traceback") == 1, err
        assert err.rstrip().splitlines()[-1].startswith(name)
        assert "passerby" not in err
        assert told(collector)[name] == 20


def test_exit_takes_no_longer_than_allowed_and_says_what_is_lost(black_hole: str, tmp_path: Path, outbox: str) -> None:
    script = Script(tmp_path, f"tell('script', 7)\n{MEASURE_EXIT}", black_hole.replace("127.0.0.1", "localhost"), 1.0)

    code, out, err = script.end()

    assert code == 0
    elapsed, running = map(float, out.split())
    assert elapsed > 0.5
    assert running <= 1.5
    if outbox == "memory":
        assert err.strip() == "7 events were not delivered before exit and are lost with this process"
    else:
        assert (err, number_kept(outbox)) == ("", 7)


def test_exit_takes_no_longer_with_several_trackings(black_hole: str, tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        f"""
        from passerby import CustomerIO
        others = [Tracking(CustomerIO(write_key="key", target_url=url), secret_key="a key for tests") for _ in range(4)]
        for other in others:
            other.for_visitor(str(uuid4())).event("STEP")
        tell("script", 1)
        {MEASURE_EXIT}
        """,
        black_hole,
        2.0,
    )

    code, out, _ = script.end()

    assert code == 0
    elapsed, running = map(float, out.split())
    assert elapsed > 1.0
    assert running <= 4.0


def test_a_child_can_log_whatever_its_parent_was_doing(black_hole: str, tmp_path: Path) -> None:
    """Some thread was just about to say something when the process forked, and another was making a site."""
    script = Script(
        tmp_path,
        """
        import logging
        from passerby import Sites
        from passerby.logs import get_logger, rate_limit
        logging.basicConfig()
        making, go_on = threading.Event(), threading.Event()

        def make(name):
            making.set()
            go_on.wait(60)
            return tracking

        sites = Sites(lambda request: None, make)
        threading.Thread(target=sites.__getitem__, args=("shop",)).start()
        making.wait(60)
        with rate_limit._lock:
            child = os.fork()
            if not child:
                signal.alarm(20)
                go_on.set()
                get_logger("passerby").warning("said")
                os._exit(0 if sites["shop"] is tracking else 1)
        go_on.set()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        """,
        black_hole,
    )

    _, out, err = script.end()

    assert out.strip() == "0"
    assert "said" in err


def test_ctrl_c_ends_the_waiting_at_exit(black_hole: str, tmp_path: Path, outbox: str) -> None:
    text = """
        tell('script', 3)
        flush = tracking.delivery.flush
        def say_that_it_waits(timeout):
            print('ready', flush=True)
            return flush(timeout)
        tracking.delivery.flush = say_that_it_waits
    """
    script = Script(tmp_path, text, black_hole, close_timeout=600.0)
    assert script.wait_for_line() == "ready\n"
    script.process.send_signal(signal.SIGINT)
    begun = time.monotonic()

    _, _, err = script.end()

    assert time.monotonic() - begun < 50
    assert "Traceback" not in err
    if outbox == "memory":
        assert "3 events were not delivered before exit" in err
    else:
        assert (err, number_kept(outbox)) == ("", 3)


def test_events_that_no_thread_could_be_started_for_are_not_lost_silently(
    collector: CollectorServer, tmp_path: Path, outbox: str
) -> None:
    script = Script(
        tmp_path,
        """
        def refuse(thread):
            raise RuntimeError("can't start new thread")
        threading.Thread.start = refuse
        tell('script', 3)
        """,
        by_name(collector),
    )

    code, _, err = script.end()

    assert code == 0
    assert "Traceback" not in err
    if outbox == "memory":
        assert "3 events were not delivered before exit" in err
    else:
        assert number_kept(outbox) == 3, "what no thread can do, the one that tells does"


# Fork


def test_parent_and_forked_children_deliver_their_own_events_once(collector: CollectorServer, tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        tell('parent', 50)
        children = []
        for number in range(4):
            child = os.fork()
            if not child:
                tell(f'child {number}', 50)
                sys.exit()
            children.append(child)
        tell('parent', 50)
        assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
        """,
        by_name(collector),
    )

    code, out, err = script.end()

    assert (code, out) == (0, "")
    assert "Traceback" not in err
    assert told(collector) == {"parent": 100, **{f"child {number}": 50 for number in range(4)}}


def test_a_fork_before_the_first_event_works_as_well(collector: CollectorServer, tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        child = os.fork()
        tell('parent' if child else 'child', 30)
        if child:
            assert os.waitpid(child, 0)[1] == 0
        """,
        by_name(collector),
    )

    assert script.end() == (0, "", "")
    assert told(collector) == {"parent": 30, "child": 30}


@pytest.mark.long
def test_fifty_forks_while_threads_tell_and_the_worker_sends(collector: CollectorServer, tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        done = threading.Event()
        def keep_telling(name):
            count = 0
            while not done.is_set():
                tell(name, 3)
                count += 3
                time.sleep(0.005)
            os.write(1, f'{name} {count}\\n'.encode())
        tellers = [threading.Thread(target=keep_telling, args=(f'teller {number}',)) for number in range(2)]
        for teller in tellers:
            teller.start()
        children, statuses = [], []
        for number in range(50):
            child = os.fork()
            if not child:
                tell('child', 2)
                os._exit(tracking.close(30))
            children.append(child)
            if number % 10 == 9:
                statuses += [os.waitpid(child, 0)[1] for child in children]
                children.clear()
        done.set()
        assert statuses == [0] * 50, statuses
        """,
        by_name(collector),
    )

    code, out, err = script.end()

    assert code == 0, err
    assert "Traceback" not in err
    expected = {name: int(count) for name, count in re.findall(r"(teller \d) (\d+)", out)}
    assert len(expected) == 2
    assert told(collector) == {"child": 100, **expected}


def test_what_a_forked_child_answers_for_is_its_own(collector: CollectorServer, tmp_path: Path, outbox: str) -> None:
    """The pool and waiting events of the parent are not the child's, nor is the ledger of an outbox in memory."""
    collector.fail("events", status=503)
    script = Script(
        tmp_path,
        """
        tell('parent', 5)
        child = os.fork()
        if not child:
            stats = tracking.stats()
            ledger = stats.destinations['sitecore']
            print(ledger.recorded, ledger.pending, stats.browser_ids.ready, tracking.flush(0), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(tracking.stats().destinations['sitecore'].recorded, flush=True)
        os._exit(0)
        """,
        by_name(collector),
    )

    code, out, err = script.end()

    ledger = ["0", "0"] if outbox == "memory" else ["5", "5"]  # on disk it is the store's, which both share
    assert (code, out.split()) == (0, [*ledger, "0", "0", "5"]), err


def test_a_fork_leaves_the_parents_connections_alone(collector: CollectorServer, tmp_path: Path) -> None:
    """What the child lets go of are copies: the parent sends on, over the same connections."""
    script = Script(
        tmp_path,
        """
        import gc
        for _ in range(5):
            tell('parent', 5)
            assert tracking.flush(30) == 0
            child = os.fork()
            if not child:
                gc.collect()
                os._exit(0)
            os.waitpid(child, 0)
        tell('parent', 5)
        assert tracking.flush(30) == 0
        print(tracking.stats().destinations['sitecore'].retries)
        """,
        by_name(collector),
    )

    with Stopwatch() as watch:
        code, out, err = script.end()

    assert (code, out) == (0, "0\n"), err
    assert watch.seconds < 9, "no call had to be given up and repeated"
    assert told(collector) == {"parent": 30}


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_deliver_what_they_told(
    collector: CollectorServer, tmp_path: Path, method: str
) -> None:
    """They are not asked to flush, though those that are forked do not run what is registered with atexit."""
    script = Script(
        tmp_path,
        f"""
        if __name__ == '__main__':
            context = multiprocessing.get_context('{method}')
            tell('parent', 20)
            children = [context.Process(target=tell, args=(f'child {{number}}', 20)) for number in range(3)]
            for child in children:
                child.start()
            for child in children:
                child.join()
            assert [child.exitcode for child in children] == [0] * 3
        """,
        by_name(collector),
    )

    code, _, err = script.end()

    assert code == 0, err
    assert "Traceback" not in err
    assert told(collector) == {"parent": 20, **{f"child {number}": 20 for number in range(3)}}


def test_one_registration_for_exit_and_fork_each(tmp_path: Path, black_hole: str) -> None:
    """Neither can be undone, so that a thousand objects must not make a thousand."""
    code = textwrap.dedent("""
        import atexit, os
        registered = []
        atexit_register, fork_register = atexit.register, os.register_at_fork
        def note(kind, function):
            if function.__module__.startswith("passerby"):
                registered.append(kind)
        def register(function, *args, **kwargs):
            note("exit", function)
            return atexit_register(function, *args, **kwargs)
        def register_at_fork(**functions):
            note("fork", functions.get("after_in_child", print))
            return fork_register(**functions)
        atexit.register, os.register_at_fork = register, register_at_fork
        from passerby import Tracking
        for _ in range(1000):
            Tracking(secret_key="a key for tests").close()
        print(registered)
    """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)

    assert done.stdout.strip() == "['exit', 'fork']"
