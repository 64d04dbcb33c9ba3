"""The template tag: ``{% load passerby %} ... {% browser_id %}``."""

from __future__ import annotations

from django import template
from django.template import Context

from ...client.current import current_tracker
from ...client.tracker import Tracker

register: template.Library = template.Library()


@register.simple_tag(takes_context=True)
def browser_id(context: Context) -> str:
    """Return the visitor's browser ID; empty where there is none or may be none."""
    tracker: Tracker | None = getattr(context.get("request"), "tracker", None)
    if tracker is None:  # a template that is rendered without its request
        try:
            tracker = current_tracker()
        except LookupError:
            return ""
    return tracker.browser_id or ""
