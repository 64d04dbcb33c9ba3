"""The pages on which a visitor says who they are."""

from __future__ import annotations

from html import escape

from .layout import Visitor, alert, field, layout, newsletter_form

PERSONAS = (("Ada", "ada@milestone.example"), ("Ben", "ben@milestone.example"))


def login(visitor: Visitor, problem: str | None = None, name: str = "", email: str = "") -> str:
    """The form that turns a visitor into somebody."""
    return layout(
        "Log in",
        visitor,
        f"""<h1>Log in</h1><p>Any name will do; nothing leaves this machine.</p>{alert(problem)}
<form id="login-form" class="fields" method="post" action="/login">
{field("First name", "name", name, autocomplete="given-name", maxlength="60")}
{field("Email", "email", email, type="email", autocomplete="email", maxlength="200")}
<button id="login">Log in</button></form>
<h2>Or be somebody at once</h2><div class="personas">{"".join(_persona(*each) for each in PERSONAS)}</div>""",
    )


def newsletter(visitor: Visitor, problem: str | None = None, email: str = "") -> str:
    """The newsletter on a page of its own: what follows a sign-up, or what was wrong with it."""
    if visitor.newsletter is not None:
        words = "<p>The first letter will never come, as this is a shop that sells nothing.</p>"
        return layout("Newsletter", visitor, f"<h1>Welcome on the list</h1>{words}")
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
