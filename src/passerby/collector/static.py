"""The files of the live page: those that are there when the collector starts, and no others."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .response import refuse

FOLDER = Path(__file__).with_name("page")
INDEX = "index.html"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class StaticFiles:
    """Serve the files of a folder by their names. No path from a request reaches the file system.

    Args:
        folder: where they are.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        found = folder.iterdir() if folder.is_dir() else ()
        self._files = {path.name: path for path in found if path.suffix in MEDIA_TYPES and path.is_file()}

    @property
    def routes(self) -> list[Route]:
        """The page at the folder itself, and what it needs beside it."""
        return [
            Route("/", self.index),
            *(Route(f"/{name}", self.file, name=name) for name in self._files if name != INDEX),
        ]

    async def index(self, request: Request) -> Response:
        """The page."""
        if INDEX not in self._files:
            return refuse(404, "The live page is not part of this installation")
        return self._respond(self._files[INDEX])

    async def file(self, request: Request) -> Response:
        """A file beside the page."""
        return self._respond(self._files[request.scope["path"].rpartition("/")[2]])

    def _respond(self, path: Path) -> Response:
        # Small files, and read anew: whoever works on the page sees the change.
        return Response(path.read_bytes(), media_type=MEDIA_TYPES[path.suffix])
