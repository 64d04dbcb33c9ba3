"""A worker beside the servers and runners that apps have, with several processes each."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.faces.servers import keep_port
from tests.making import eventually
from tests.running import PATIENCE, Running, in_a_group

from .conftest import SHOP
from .receiver import Receiver
from .tasks import make_app

BIN = Path(sys.executable).parent

pytestmark = pytest.mark.servers


# Arguments of `python`; {port} is where to listen.
GUNICORN = "-m gunicorn tests.worker.shop:wsgi --bind 127.0.0.1:{port} -w 2"
UVICORN = "-m uvicorn tests.worker.shop:asgi --port {port} --log-level warning"
SERVERS = {
    "gunicorn": (GUNICORN, "supervisor"),
    "gunicorn-preload": (f"{GUNICORN} --preload", "group"),
    "uvicorn-workers": (f"{UVICORN} --workers 2", "group"),
    "uvicorn-reload": (f"{UVICORN} --reload --reload-dir tests/worker", "supervisor"),
}
UWSGI = (
    "--http-socket 127.0.0.1:{port} --module tests.worker.shop:wsgi --master --processes 2 --enable-threads "
    "--die-on-term --need-app --disable-logging"
)


@pytest.mark.parametrize(("command", "to_whom"), SERVERS.values(), ids=SERVERS)
def test_delivers_beside_a_server_and_ends_with_it(receiver: Receiver, command: str, to_whom: str) -> None:
    end_after_requests(receiver, [sys.executable, *command.split()], to_whom)


def test_delivers_beside_uwsgi_and_ends_with_it(receiver: Receiver, tmp_path: Path) -> None:
    ready = tmp_path / "ready"  # until then uWSGI itself may lose a signal
    command = [str(BIN / "uwsgi"), *UWSGI.split(), "--hook-master-start", f"write:{ready} now"]
    # Not to the group: uWSGI itself hangs now and then if its processes get the signal twice.
    end_after_requests(receiver, command, "supervisor", ready.exists)


def test_delivers_beside_celery_and_ends_with_it(
    receiver: Receiver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks run in forked processes."""
    monkeypatch.setenv("SHOP_QUEUE", str(tmp_path))
    options = "-A tests.worker.tasks worker --pool prefork -c 2 --without-gossip --without-mingle --loglevel ERROR"
    with in_a_group(*SHOP, "--", sys.executable, "-m", "celery", *options.split()) as supervisor:
        make_app(tmp_path).send_task("record", ["task"])
        receiver.wait_for("task")
        # Not to the group: Celery itself waits for ever for processes of its pool that have got the signal too.
        assert supervisor.end(signal.SIGTERM) == 0, supervisor.complaints
    assert receiver.begun == ["task"]
    assert not any(line.startswith("passerby worker:") for line in supervisor.complaints)


def end_after_requests(
    receiver: Receiver, command: list[str], to_whom: str, is_ready: Callable[[], bool] = lambda: True
) -> None:
    """Record an event, send SIGTERM, and expect that everything ends in order."""
    kept = keep_port()
    port = kept.getsockname()[1]
    with kept, in_a_group(*SHOP, "--", *(part.format(port=port) for part in command)) as supervisor:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
        with client:
            eventually(lambda: has_answered(client, supervisor))
            client.get("/page").raise_for_status()
        eventually(is_ready)
        if to_whom == "group":
            os.killpg(supervisor.process.pid, signal.SIGTERM)
        else:
            supervisor.process.send_signal(signal.SIGTERM)
        assert supervisor.wait() == 0, supervisor.complaints
        eventually(lambda: not members_of(supervisor.process.pid))  # helpers of multiprocessing end behind the others
    assert sorted(receiver.begun) == ["/first", "/page"]
    assert not any(line.startswith("passerby worker:") for line in supervisor.complaints)


def members_of(group: int) -> list[str]:
    """The processes of a group that run."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            name, _, rest = path.read_text().rpartition(")")
            state, _, own_group = rest.split()[:3]
            if int(own_group) == group and state != "Z":
                found.append(name)
    return found


def has_answered(client: httpx.Client, supervisor: Running) -> bool:
    assert supervisor.process.poll() is None, supervisor.complaints
    try:
        return client.get("/first").is_success
    except httpx.TransportError:
        return False
