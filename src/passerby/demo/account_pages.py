"""The pages with the log-in and the newsletter."""

from __future__ import annotations

from html import escape

from .layout import Visitor, alert, field, layout, newsletter_form

PERSONAS = (("Ada", "ada@milestone.example"), ("Ben", "ben@milestone.example"))


def login(visitor: Visitor, problem: str | None = None, name: str = "", email: str = "") -> str:
    """The log-in form."""
    return layout(
        "Log in",
        visitor,
        f"""<h1>Log in</h1><p>Any name will do; nothing leaves this machine.</p>{alert(problem)}
<form id="login-form" class="fields" method="post" action="/login">
{field("First name", "name", name, autocomplete="given-name", maxlength="60")}
{field("Email", "email", email, type="email", autocomplete="email", maxlength="200")}
<button id="login">Log in</button></form>
<h2>Or log in as</h2><div class="personas">{"".join(_persona(*each) for each in PERSONAS)}</div>""",
    )


def newsletter(visitor: Visitor, problem: str | None = None, email: str = "") -> str:
    """The newsletter page: the confirmation of a sign-up, or the form with an error."""
    if visitor.newsletter is not None:
        words = "<p>No letter will be sent: this is a demo.</p>"
        return layout("Newsletter", visitor, f"<h1>You are signed up</h1>{words}")
    return layout(
        "Newsletter",
        visitor,
        f"<h1>Letters from the road</h1>{newsletter_form(visitor, problem, email)}",
        asks_for_newsletter=False,
    )


def _persona(name: str, email: str) -> str:
    return f"""<form method="post" action="/login"><input type="hidden" name="name" value="{escape(name)}">
<input type="hidden" name="email" value="{escape(email)}">
<button class="quiet" data-persona="{escape(name.lower())}">{escape(name)}</button></form>"""
