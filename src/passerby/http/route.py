"""The route of a request: the pattern that its framework has matched. It names a page without values from its URL."""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any
from weakref import ref

ROUTE_KEY = "passerby.route"  # in a scope or environ: the pattern, once the framework's own objects are gone
REQUEST_KEY = "passerby.request"  # a weak reference to the request object of Django
LANGUAGE_KEY = "passerby.language"  # a function that is given that object and gives the language of the page, or None

SCOPE_KEYS = ("path_params", "route", "app_root_path", "root_path")  # what `route_of` reads in a scope with a route

_is_regex = re.compile(r"[\^$\\]|\(\?").search
_find_converters = re.compile(r"<(?:[^<>]*:)?([A-Za-z_]\w*)>|\{([A-Za-z_]\w*)(?::\w+)?\}").sub
_takes_any_path = re.compile(r"<path(?:\([^<>]*\))?:|:path\}").search
_QUANTIFIERS = re.compile(r"[?*+]|\{\d*,?\d*\}")
_is_literal = re.compile(r"[^\W\d_]").search


def route_of(native: Mapping[str, Any]) -> str | None:
    """Return the pattern that a framework has matched, as written there, or None if there is none or it matches all.

    Args:
        native: an ASGI scope or WSGI environ, with what Django, Flask, Starlette and FastAPI leave there.
    """
    kept: str | None = native.get(ROUTE_KEY)
    if kept is not None:
        return kept
    reference = native.get(REQUEST_KEY)
    if reference is not None:
        match = getattr(reference(), "resolver_match", None)
        return None if match is None else match.route
    request = native.get("werkzeug.request")
    if request is not None:
        rule = getattr(request, "url_rule", None)
        return None if rule is None else rule.rule
    if native.get("path_params") is not None:
        return _route_in_scope(native)
    return native.get("path_template")  # Litestar


def keep_request(native: MutableMapping[str, Any], request: Any) -> None:
    """Keep a weak reference to the framework's request, which knows its route; used for Django."""
    if hasattr(request, "resolver_match"):
        native[REQUEST_KEY] = ref(request)


def keep_route(native: Mapping[str, Any], kept: MutableMapping[str, Any]) -> None:
    """Keep the route of a scope or environ that is about to be released."""
    if (route := route_of(native)) is not None:
        kept[ROUTE_KEY] = route


def language_in(native: Mapping[str, Any]) -> str | None:
    """Return the language the framework has chosen for the page, such as ``"de-at"``, or None."""
    find = native.get(LANGUAGE_KEY)
    if find is None:
        return None
    reference = native.get(REQUEST_KEY)
    request = None if reference is None else reference()
    return None if request is None else find(request)


@lru_cache(maxsize=1024)
def named_route(route: str) -> str | None:
    """Return the page name for a pattern, such as ``"products/{slug}"``; ``""`` for the root.

    None if the pattern does not name a page: it matches any path, or contains no word.
    """
    if _takes_any_path(route):
        return None
    plain = _without_regex(route) if _is_regex(route) else route
    if plain is None:
        return None
    name = _find_converters(lambda found: "{%s}" % (found[1] or found[2]), plain).strip("/")
    return name if not name or _is_literal(re.sub(r"\{\w*\}", "", name)) else None


def _route_in_scope(scope: Mapping[str, Any]) -> str | None:
    """Return the pattern of a route of Starlette or FastAPI, including those of the apps in which it is mounted.

    The scope has only the last route, without the prefixes of mounts and routers. The prefixes are read from the path,
    where a part that equals the value of a parameter is replaced by the parameter.
    """
    route = scope.get("route")
    values: Mapping[str, Any] = scope["path_params"]
    leaf = getattr(route, "path_format", None)
    if not isinstance(leaf, str) or not hasattr(route, "endpoint"):  # a mount: another app found the page, or a file
        return None
    pattern = getattr(route, "path", leaf)
    if ":" in pattern and _takes_any_path(pattern):
        return None
    path: str = scope["path"]
    root: str | None = scope.get("app_root_path")
    path = path.removeprefix((scope.get("root_path") if root is None else root) or "")
    if path == leaf and not values and leaf.startswith("/"):  # neither mounted nor with parameters
        return leaf
    parts = path.split("/")
    behind = leaf.split("/")[1:]
    before = parts[: len(parts) - len(behind)]
    names = {str(value): name for name, value in values.items() if f"{{{name}}}" not in leaf}
    return "/".join([*("{%s}" % names[part] if part in names else part for part in before), *behind])  # noqa: UP031


def _without_regex(pattern: str) -> str | None:
    """Return a pattern of Django's `re_path` with the names of its groups; None if a group may take several parts."""
    plain = ""
    place = 0
    while place < len(pattern):
        character = pattern[place]
        if character == "(":
            end = _end_of_group(pattern, place)
            group = pattern[place:end]
            name = re.match(r"\(\?P<(\w+)>", group)
            if group.startswith("(?") and name is None and not group.startswith("(?:"):
                group = ""  # looks ahead, or sets a flag
            elif re.search(r"/|\.[*+]|\[\^", group.replace("[^/]", "")):
                return None
            plain += "" if not group else "{%s}" % (name[1] if name else "")
            place = end
        elif character == "[":
            place = pattern.find("]", place + 1) + 1 or len(pattern)
            plain += "{}"
        elif character == "\\":
            following = pattern[place + 1 : place + 2]
            plain += "" if following in "AZzbB" else "{}" if following.isalnum() else following
            place += 2
        else:
            plain += "" if character in "^$" else character
            place += 1
        if plain.endswith(("}", "/")) and (found := _QUANTIFIERS.match(pattern, place)):
            place = found.end()
    return plain


def _end_of_group(pattern: str, start: int) -> int:
    depth = 0
    place = start
    while place < len(pattern):
        if pattern[place] == "\\":
            place += 1
        elif pattern[place] == "[":
            place = max(place, pattern.find("]", place + 2) if pattern[place + 1 : place + 2] == "]" else place)
        elif pattern[place] == "(":
            depth += 1
        elif pattern[place] == ")":
            depth -= 1
            if depth == 0:
                return place + 1
        place += 1
    return len(pattern)
