"""The files of the live page: those that exist when the collector starts."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .json_response import refuse

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class StaticFiles:
    """Serves the files of a folder by name. No path of a request reaches the file system.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        found = folder.iterdir() if folder.is_dir() else ()
        self._files = {path.name: path for path in found if path.suffix in MEDIA_TYPES and path.is_file()}

    @property
    def routes(self) -> list[Route]:
        """The routes of the page and its files."""
        return [
            Route("/", self.index),
            *(Route(f"/{name}", self.file, name=name) for name in self._files if name != INDEX),
        ]

    async def index(self, request: Request) -> Response:
        """The page."""
        if INDEX not in self._files:
            return refuse(404, "the live page is not part of this installation")
        return self._respond(self._files[INDEX])

    async def file(self, request: Request) -> Response:
        """A file of the page."""
        return self._respond(self._files[request.scope["path"].rpartition("/")[2]])

    def _respond(self, path: Path) -> Response:
        # Small files, read for each request: changes are visible at once.
        return Response(path.read_bytes(), media_type=MEDIA_TYPES[path.suffix])
