"""A reading list on FastAPI, tracked with passerby."""

from __future__ import annotations

import os
from html import escape
from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from passerby import Sitecore, Tracker, Tracking, ValidationError
from passerby.asgi import TrackingMiddleware
from passerby.fastapi import TrackerDep

BOOKS = {
    "walking": "On walking slowly",
    "maps": "Maps of places that are not there",
    "tea": "A short history of tea",
}

tracking = Tracking(
    Sitecore(
        client_key="reading-list",
        target_url=os.environ.get("PASSERBY_SITECORE_TARGET_URL", "http://localhost:8600"),
        point_of_sale="reading.example",
    ),
    secret_key=os.environ.get("SECRET_KEY", "an example's key, which is no secret"),
    channel="WEB",
    currency="EUR",
    identity_provider="READERS",
)


def refuse_other_sites(request: Request) -> None:
    """Refuse forms of other sites."""
    if request.method == "POST" and request.headers.get("sec-fetch-site") == "cross-site":
        raise HTTPException(403, "This form belongs to another site")


router = APIRouter(default_response_class=HTMLResponse, dependencies=[Depends(refuse_other_sites)])


@router.get("/")
async def home(tracker: TrackerDep) -> str:
    tracker.page_view({"page": "Reading list"})
    books = "".join(f'<li><a href="/books/{slug}">{escape(title)}</a></li>' for slug, title in BOOKS.items())
    return page("Reading list", f"<ul>{books}</ul>", tracker)


@router.get("/books/{slug}")
def book(slug: str, tracker: TrackerDep) -> str:
    """Sync endpoints have the tracker too."""
    title = find_title(slug)
    tracker.page_view({"page": title}, {"book": slug})
    form = f'<form method="post" action="/books/{slug}/read"><button>I have read it</button></form>'
    return page(title, form, tracker)


@router.post("/books/{slug}/read")
async def mark_as_read(slug: str, tracker: TrackerDep, tasks: BackgroundTasks) -> RedirectResponse:
    find_title(slug)
    tracker.event("READ", {"page": slug}, {"book": slug})
    tasks.add_task(recommend_another, slug, tracker)
    return RedirectResponse("/", status_code=303)


@router.post("/login")
async def log_in(name: Annotated[str, Form(max_length=60)], tracker: TrackerDep) -> RedirectResponse:
    try:
        tracker.identify(name.strip().lower(), {"first_name": name})
    except ValidationError as error:
        raise HTTPException(422, error.message) from None
    return RedirectResponse("/", status_code=303)


@router.post("/logout")
async def log_out(tracker: TrackerDep) -> RedirectResponse:
    tracker.reset()
    return RedirectResponse("/", status_code=303)


def recommend_another(slug: str, tracker: Tracker) -> None:
    """Slow work runs after the response; its events belong to the same visitor."""
    others = [other for other in BOOKS if other != slug]
    tracker.event("RECOMMENDED", {"page": others[0]}, {"because_of": slug})


def find_title(slug: str) -> str:
    if slug not in BOOKS:
        raise HTTPException(404, "There is no such book")
    return BOOKS[slug]


def page(title: str, content: str, tracker: Tracker) -> str:
    if tracker.user_id is None:
        account = '<form method="post" action="/login"><input name="name" required><button>Log in</button></form>'
    else:
        account = f'<form method="post" action="/logout"><button>Log out {escape(tracker.user_id)}</button></form>'
    return f"""<!doctype html>
<html lang="en">
<meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>body {{ font: 1.1rem/1.6 serif; max-width: 34rem; margin: 2rem auto; padding: 0 1rem }}</style>
<h1>{escape(title)}</h1>
{content}
{account}
<p><a href="/">All books</a>, read by {escape(tracker.browser_id or "somebody without an ID")}</p>
</html>"""


app = FastAPI(title="Reading list")
app.include_router(router)
app.add_middleware(TrackingMiddleware, tracking=tracking)
