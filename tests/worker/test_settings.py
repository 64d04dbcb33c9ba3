"""How a worker finds the app's `Tracking`, and what it refuses."""

from __future__ import annotations

import os
import socket
import sys

import pytest

from passerby.cli.main import main
from tests.running import Running, running

from .conftest import SHOP, Record
from .receiver import Receiver
from .recording import SECRET


def test_of_the_environment(receiver: Receiver, store: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "OUTBOX": f"sqlite://{os.environ['SHOP_OUTBOX']}",
        "SECRET_KEY": "a secret key that signs",
        "WEBHOOK_URL": receiver.url,
        "WEBHOOK_SECRET": SECRET,
        "WEBHOOK_ALLOW_PRIVATE_ADDRESSES": "true",
        "DELIVER": "worker",
    }.items():
        monkeypatch.setenv(f"PASSERBY_{name}", value)
    store("environment")
    with running("worker", "--until-empty") as worker:
        assert worker.wait() == 0, worker.complaints
    assert receiver.steps == ["environment"]


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside"])
@pytest.mark.parametrize("framework", ["django", "flask"])
def test_of_the_app_whose_command_line_it_is(
    receiver: Receiver, store: Record, monkeypatch: pytest.MonkeyPatch, framework: str, beside: bool
) -> None:
    if framework == "django":
        program = ["-m", "django", "passerby", "worker", "--settings=tests.worker.django_settings"]
    else:
        monkeypatch.setenv("FLASK_APP", "tests.worker.flask_app")
        program = ["-m", "flask", "passerby", "worker"]
    store(framework)
    more = ["--", sys.executable, "-c", "raise SystemExit(6)"] if beside else ["--until-empty"]
    worker = Running(*more, program=[sys.executable, *program])
    assert worker.wait() == (6 if beside else 0), worker.complaints
    assert receiver.steps == [framework]
    assert worker.complaints == []


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--tracking", "shop"], 2, "--tracking: expected a module and a name in it"),
        (["--tracking", "tests.worker.nowhere:tracking"], 2, "--tracking: No module named 'tests.worker.nowhere'"),
        (["--tracking", "tests.worker.receiver:nothing"], 2, "--tracking: module 'tests.worker.receiver' has no"),
        (["--tracking", "tests.worker.receiver:PATIENCE"], 2, "--tracking: found float, expected a Tracking"),
        (
            ["--until-empty", "--", "true"],
            2,
            "found --until-empty with a command; the worker beside an app ends with it",
        ),
        (["--", "true"], 2, "a worker beside an app can only be started as a program of its own"),
        ([], 2, "found an outbox in memory"),
    ],
)
def test_says_what_is_wrong(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, complaint: str
) -> None:
    assert main(["worker", *arguments]) == code
    said = capsys.readouterr().err
    assert said.startswith(f"passerby worker: {complaint}")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--tracking", "tests.worker.shop:sites"], 2, "--tracking: found Sites, expected a Tracking"),
        (["--tracking", "tests.worker.shop:in_memory"], 2, "found an outbox in memory, which no other process can see"),
        (["--tracking", "tests.worker.shop:to_nowhere"], 1, "found no destination in the settings"),
    ],
)
def test_says_what_is_wrong_with_a_tracking(
    receiver: Receiver, arguments: list[str], code: int, complaint: str
) -> None:
    with running("worker", *arguments) as worker:
        assert worker.wait() == code
    (said,) = worker.complaints
    assert said.startswith(f"passerby worker: {complaint}")


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PASSERBY_OUTBOX", "redis")
    assert main(["worker"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("passerby worker: PASSERBY_OUTBOX: found something else, expected")
    assert "the worker needs the app's own settings: --tracking" in said


@pytest.mark.parametrize("beside", [(), ("--", "true")], ids=["alone", "beside"])
def test_an_address_in_use_is_named(receiver: Receiver, beside: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        address = f"127.0.0.1:{busy.getsockname()[1]}"
        with running(*SHOP, "--health", address, *beside) as worker:
            assert worker.wait() == 1
    assert worker.complaints == [
        f"passerby worker: cannot listen on {address} (Address already in use). Choose another with --health"
    ]


@pytest.mark.parametrize("address", ["8601", ":8601", "localhost", "::1:8601", "localhost:65536", "[::1]", "[x]:y"])
def test_a_wrong_address_is_refused(capsys: pytest.CaptureFixture[str], address: str) -> None:
    with pytest.raises(SystemExit) as end:
        main(["worker", "--health", address])
    assert end.value.code == 2
    assert f"{address!r} is no address; expected HOST:PORT" in capsys.readouterr().err


def test_warnings_are_shown_unless_the_app_configures_logging(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, store: Record
) -> None:
    receiver.status = 410
    store("gone")
    monkeypatch.setenv("SHOP_LOG", "1")
    with running(*SHOP, "--until-empty") as worker:
        assert worker.wait() == 0
    (said,) = worker.complaints
    assert said.startswith("from the shop: event ")
    assert "is a dead letter at webhook" in said
