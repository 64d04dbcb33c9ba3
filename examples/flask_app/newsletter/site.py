"""The pages of the newsletter."""

from __future__ import annotations

from flask import Blueprint, abort, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from passerby import ValidationError, current_tracker

site = Blueprint("site", __name__)

ISSUES = {
    "spring": "What comes up in spring",
    "summer": "Where to sit in summer",
    "autumn": "Leaves, and who counts them",
}


@site.before_request
def refuse_other_sites() -> None:
    """Refuse forms of other sites."""
    if request.method == "POST" and request.headers.get("sec-fetch-site") == "cross-site":
        abort(403)


@site.get("/")
def home() -> str:
    g.tracker.page_view({"page": "Home"})
    return render_template("home.html", issues=ISSUES)


@site.get("/issues/<name>")
def read_issue(name: str) -> str:
    if name not in ISSUES:
        abort(404)
    g.tracker.page_view({"page": ISSUES[name]}, {"issue": name})
    return render_template("issue.html", title=ISSUES[name])


@site.post("/subscribe")
def subscribe() -> Response:
    g.tracker.event("SUBSCRIBE", {"page": "Home"}, {"list": "weekly"})
    session["subscribed"] = True
    return redirect(url_for("site.home"))


@site.post("/sign-in")
def sign_in() -> Response | tuple[str, int]:
    email = request.form.get("email", "").strip()
    try:
        g.tracker.identify(email, {"email": email})
    except ValidationError as error:
        return render_template("home.html", issues=ISSUES, error=error.message), 422
    session["email"] = email
    return redirect(url_for("site.home"))


@site.post("/sign-out")
def sign_out() -> Response:
    session.clear()
    g.tracker.reset()
    return redirect(url_for("site.home"))


@site.app_errorhandler(404)
def show_missing(error: Exception) -> tuple[str, int]:
    current_tracker().event("MISSING", {"page": request.path})
    return render_template("missing.html"), 404
