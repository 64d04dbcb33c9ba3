"""The files of the live page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from passerby.collector import CollectorServer
from passerby.collector.server_thread import ServerThread
from passerby.collector.static import FOLDER, MEDIA_TYPES, StaticFiles
from tests.making import PATIENCE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "page"
    folder.mkdir()
    for name in ("index.html", "page.css", "page.js", "mark.svg", "notes.txt", ".hidden.py"):
        (folder / name).write_text(f"<{name}>")
    (folder / "inner.js").mkdir()
    (tmp_path / "secret.js").write_text("secret")
    return folder


@pytest.fixture
def pages(folder: Path) -> Iterator[httpx.Client]:
    server = ServerThread(Starlette(routes=StaticFiles(folder).routes), host="127.0.0.1", port=0, name="pages")
    server.start()
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client
    server.close()


@pytest.mark.parametrize(
    ("path", "name", "media_type"),
    [
        ("/", "index.html", "text/html"),
        ("/page.css", "page.css", "text/css"),
        ("/page.js", "page.js", "text/javascript"),
        ("/mark.svg", "mark.svg", "image/svg+xml"),
    ],
)
def test_what_is_there_is_served(pages: httpx.Client, path: str, name: str, media_type: str) -> None:
    answer = pages.get(path)

    assert answer.text == f"<{name}>"
    assert answer.headers["content-type"].partition(";")[0] == media_type


@pytest.mark.parametrize(
    "path",
    [
        "/notes.txt",
        "/.hidden.py",
        "/inner.js",
        "/later.js",
        "/../secret.js",
        "/%2e%2e/secret.js",
        "/..%2fsecret.js",
    ],
)
def test_nothing_else_is(pages: httpx.Client, folder: Path, path: str) -> None:
    (folder / "later.js").write_text("made after the start")

    assert pages.get(path).status_code == 404


def test_a_change_is_seen(pages: httpx.Client, folder: Path) -> None:
    (folder / "page.css").write_text("changed")

    assert pages.get("/page.css").text == "changed"


def test_without_a_page_it_is_said(tmp_path: Path) -> None:
    (index,) = StaticFiles(tmp_path / "nowhere").routes

    assert index.path == "/"


def test_the_page_is_found_from_the_root(client: httpx.Client) -> None:
    answer = client.get("/", headers={"accept": "text/html,application/xhtml+xml"})

    assert (answer.status_code, answer.headers["location"]) == (307, "/_collector/")
    assert client.get("/_collector").headers["location"] == "/_collector/"


def test_an_app_that_asks_for_the_root_is_answered_by_the_service(
    client: httpx.Client, collector: CollectorServer
) -> None:
    assert client.get("/").status_code == 404
    assert client.post("/", headers={"accept": "text/html"}).status_code == 404
    assert [request.path for request in collector.requests] == ["/", "/"]


def test_all_files_of_the_page_are_served_by_the_collector(client: httpx.Client) -> None:
    for path in FOLDER.glob("*"):
        if path.suffix in MEDIA_TYPES:
            answer = client.get("/_collector/" + ("" if path.name == "index.html" else path.name))
            assert answer.content == path.read_bytes()
    assert client.get("/_collector/index.html").status_code == 404
