"""``manage.py passerby``: the commands of `passerby` itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command, execute_from_command_line
from django.test import override_settings

from passerby import Tracking
from passerby.client.sites import Sites
from passerby.collector import CollectorServer
from passerby.outbox.outbox import Outbox
from passerby.outbox.sqlite import SqliteStore
from passerby.version import __version__
from tests.outbox.process import event_of

Run = Callable[..., object]


def manage(*arguments: str) -> None:
    execute_from_command_line(["manage.py", "passerby", *arguments])


def call(*arguments: str) -> None:
    call_command("passerby", *arguments)


both_ways = pytest.mark.parametrize("run", [manage, call])


def said_by(run: Run, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    """The exit code of a command that ends at once, and what it says."""
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


@both_ways
def test_version(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert said_by(run, capsys, "--version") == (0, f"passerby {__version__}\n", "")


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said_by(manage, capsys, "--help")
    assert code == 0
    assert out.startswith("usage: manage.py passerby [-h]")
    assert "collect" in out
    assert "--settings" not in out, "an option of every Django command, which needs no line here"


OPTIONS = [
    ["--settings=tests.django_site.settings"],
    ["--settings", "tests.django_site.settings"],
    ["--pythonpath=."],
    ["--traceback"],
    ["--verbosity=0"],
    ["-v", "2"],
    ["-v3"],
    ["--no-color"],
    ["--force-color"],
    ["--skip-checks"],
    ["--settings=tests.django_site.settings", "--traceback", "--verbosity", "1"],
]


@both_ways
@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("place", [0, 1, 2, 3])
def test_options_of_every_command_of_django(
    run: Run, capsys: pytest.CaptureFixture[str], options: list[str], place: int
) -> None:
    command = ["outbox", "ls", "--json"]
    code, out, err = said_by(run, capsys, *command[:place], *options, *command[place:])
    assert (code, out) == (2, "")
    assert "the events are in the app's memory" in err, "as without the options"


def test_options_behind_two_hyphens_are_the_apps_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    script = "import sys; print(sys.argv[1:])"
    begun = ["collect", "--port", "0", "--traceback", "--", sys.executable, "-c", script, "--settings=x", "-v", "3"]
    ran = subprocess.run(
        [sys.executable, "-m", "django", "passerby", *begun],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.django_site.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert "['--settings=x', '-v', '3']" in ran.stdout


def test_settings_are_found_by_the_option_alone() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "django", "passerby", "outbox", "ls", "--settings=tests.django_site.settings"],
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 2
    assert "the events are in the app's memory" in ran.stderr


@both_ways
def test_help_of_a_command(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said_by(run, capsys, "collect", "--help")
    assert code == 0
    assert "passerby collect" in out
    assert "--client-key" in out


@both_ways
@pytest.mark.parametrize("arguments", [[], ["colect"], ["collect", "--prt", "8600"], ["collect", "--port", "many"]])
def test_wrong_usage(run: Run, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = said_by(run, capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: " in err


@both_ways
def test_a_failure(run: Run, capsys: pytest.CaptureFixture[str], collector: CollectorServer) -> None:
    code, out, err = said_by(run, capsys, "collect", "--port", str(collector.port))
    assert (code, out) == (1, "")
    assert str(collector.port) in err


def test_a_collector_beside_an_app(capsys: pytest.CaptureFixture[str]) -> None:
    """It ends with the app; from code it comes back if all was well."""
    beside = ["collect", "--port", "0", "--", sys.executable, "-c"]
    call(*beside, "pass")
    assert "Collecting on" in capsys.readouterr().out
    assert said_by(call, capsys, *beside, "raise SystemExit(3)")[0] == 3
    assert said_by(manage, capsys, *beside, "pass")[0] == 0


def test_django_knows_it(capsys: pytest.CaptureFixture[str]) -> None:
    execute_from_command_line(["manage.py", "help"])
    assert "    passerby\n" in capsys.readouterr().out
    execute_from_command_line(["manage.py", "help", "passerby"])
    assert "collect" in capsys.readouterr().out


@both_ways
def test_wrong_settings_do_not_keep_it_from_running(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with override_settings(PASSERBY=None):
        assert said_by(run, capsys, "collect", "--help")[0] == 0


def test_the_outbox_is_the_projects_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outbox = Outbox(SqliteStore(tmp_path / "outbox"))
    outbox.record(event_of("ada"), ("sitecore",))
    assert outbox.close(30) == 0
    with override_settings(PASSERBY={**settings.PASSERBY, "outbox": f"sqlite://{tmp_path}/outbox"}):
        code, out, err = said_by(manage, capsys, "outbox", "ls")
        assert (code, err) == (0, "")
        assert out.startswith(f"{tmp_path}/outbox: 1 entry")
        # It delivers with the project's settings, which here lead nowhere.
        code, out, err = said_by(manage, capsys, "outbox", "flush", "--timeout", "2")
        assert (code, out) == (3, "0 entries delivered; 1 entry still waiting: 1 for sitecore\n")


@pytest.mark.parametrize(
    ("project", "code", "words"),
    [
        (None, 1, "PASSERBY: found none, expected a dict"),
        (settings.PASSERBY, 2, "the events are in the app's memory"),
        ({"tracking": Sites(lambda request: None, lambda name: Tracking())}, 1, "name the outbox of one with --outbox"),
    ],
)
def test_where_the_project_has_no_outbox_that_is_said(
    capsys: pytest.CaptureFixture[str], project: object, code: int, words: str
) -> None:
    with override_settings(PASSERBY=project):
        answered, out, err = said_by(manage, capsys, "outbox", "ls")
        assert (answered, out) == (code, "")
        assert words in err


def test_the_doctor_looks_at_the_projects_settings(capsys: pytest.CaptureFixture[str]) -> None:
    with override_settings(PASSERBY={**settings.PASSERBY, "chanel": "WEB"}):
        code, out, _ = said_by(manage, capsys, "doctor")
        assert code == 1
        assert 'PASSERBY["chanel"]' in out


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["nonsense"], 2)])
def test_as_a_process(arguments: list[str], code: int) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-m", "django", "passerby", *arguments],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.django_site.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr
