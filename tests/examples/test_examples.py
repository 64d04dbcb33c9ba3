"""The examples: their own tests, and a visitor who walks through each while it runs by its one command."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.faces.servers import keep_port
from tests.making import NAVIGATION, eventually
from tests.running import running

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDERS = sorted(folder.name for folder in EXAMPLES.glob("*_app"))


def buy(browser: httpx.Client) -> None:
    def post(path: str, form_on: str, **fields: str) -> str:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get(form_on).text)
        assert token
        return browser.post(path, data={"csrfmiddlewaretoken": token[1], **fields}).text

    post("/cart/kite", "/products/kite")
    password = "a password of an example"
    joined = post("/join", "/join", username="ada", password1=password, password2=password)
    assert "Log out ada" in joined
    assert "there are only" not in post("/order", "/cart")
    assert "Log out" not in post("/logout", "/")


def subscribe(browser: httpx.Client) -> None:
    browser.get("/issues/spring")
    browser.post("/subscribe")
    assert "Sign out ada@example.com" in browser.post("/sign-in", data={"email": "ada@example.com"}).text
    assert "Sign out" not in browser.post("/sign-out").text


def read(browser: httpx.Client) -> None:
    browser.get("/books/maps")
    browser.post("/books/maps/read")
    assert "Log out ada" in browser.post("/login", data={"name": "Ada"}).text
    assert "Log out" not in browser.post("/logout").text


# What the Makefile runs beside the collector, a visitor who walks through it, and what is told of that.
RUN = {
    "django_app": (
        f"{EXAMPLES}/django_app/manage.py runserver --noreload {{port}}",
        buy,
        "VIEW ADD VIEW IDENTITY VIEW VIEW CONFIRM VIEW VIEW VIEW",
    ),
    "flask_app": (
        f"-m flask --app {EXAMPLES}/flask_app/newsletter run --port {{port}}",
        subscribe,
        "VIEW SUBSCRIBE VIEW IDENTITY VIEW VIEW",
    ),
    "fastapi_app": (
        f"-m uvicorn --app-dir {EXAMPLES}/fastapi_app main:app --port {{port}}",
        read,
        "VIEW READ RECOMMENDED VIEW IDENTITY VIEW VIEW",
    ),
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_its_own_tests_pass(folder: str) -> None:
    """As its README says they are run, with nothing of this project's configuration."""
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", ".", "-W", "error"]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider"],
        cwd=EXAMPLES / folder,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"\d+ passed", run.stdout)


@pytest.mark.servers
@pytest.mark.parametrize("folder", FOLDERS)
def test_a_visitor_walks_through_it(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, visit, story = RUN[folder]
    monkeypatch.setenv("DATABASE", str(tmp_path / "shop.sqlite3"))
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)  # what other tests of this process have set
    if folder == "django_app":
        subprocess.run([sys.executable, EXAMPLES / folder / "manage.py", "migrate", "--verbosity", "0"], check=True)
    kept = keep_port()
    port = kept.getsockname()[1]
    app = [sys.executable, *command.format(port=port).split()]
    with kept, running("collect", "--port", "0", "--accept-any-browser-id", "--", *app) as site:
        wait_until_it_listens(port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=NAVIGATION, follow_redirects=True) as browser:
            visit(browser)
        assert site.end(signal.SIGINT) == 0, site.complaints
    events = [found[1] for line in site.lines if (found := re.match(r"\d\d:\d\d:\d\d\.\d{3}  (\w+)", line))]
    assert sorted(events) == sorted(story.split())  # what a background task tells may come a little later
    assert re.fullmatch(rf"{len(events)} events accepted, 0 refused, \d+ browser IDs? issued", site.lines[-1])
    assert not [line for line in site.complaints if "Traceback" in line or "not delivered" in line]


def wait_until_it_listens(port: int) -> None:
    def listens() -> bool:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 1).close()
            return True
        return False

    eventually(listens, 30.0)


def test_each_has_a_short_readme_with_its_one_command() -> None:
    makefile = (EXAMPLES.parent / "Makefile").read_text(encoding="utf-8")
    for folder in FOLDERS:
        readme = (EXAMPLES / folder / "README.md").read_text(encoding="utf-8")
        command = re.search(r"^    make (example-\w+)$", readme, re.MULTILINE)
        assert command, folder
        assert f"\n{command[1]}: " in makefile
        assert len(readme.splitlines()) <= 12
