from __future__ import annotations

import io
import json
from typing import Any

import pytest

from passerby.collector import CollectedRequest
from passerby.collector.api_request import Route
from passerby.collector.terminal import escaped, lines_of, show

BROWSER_ID = "7ed103bd-08c2-47f4-8f69-91141ca3200d"


def received(
    event: object = None,
    *,
    status: int | None = 201,
    accepted: bool = True,
    refusal: str | None = None,
    route: Route = "events",
) -> CollectedRequest:
    body = json.dumps(event).encode()
    return CollectedRequest(1, 0.0, "POST", "/v1.2/events", {}, body, route, status, accepted, refusal)


def said(*arguments: Any, **more: Any) -> str:
    """The line without its time."""
    (line,) = lines_of(received(*arguments, **more))
    return line.partition("  ")[2]


def test_line_of_a_page_view() -> None:
    (line,) = lines_of(received({"type": "VIEW", "browser_id": BROWSER_ID, "page": "Home"}))

    assert line.endswith("  VIEW              7ed103bd  Home")
    assert line[:12].replace(":", "").replace(".", "").isdigit()


def test_line_of_an_identity_names_the_providers() -> None:
    identifiers: list[Any] = [{"id": "secret", "provider": "BXLP"}, {"provider": "EMAIL"}, {}, 7]
    line = said({"type": "IDENTITY", "browser_id": BROWSER_ID, "identifiers": identifiers})

    assert line == "IDENTITY          7ed103bd  BXLP, EMAIL, ?, ?"


def test_line_of_a_refused_event_says_why() -> None:
    line = said({"type": "VIEW"}, status=400, accepted=False, refusal="browser_id is missing")

    assert line == "VIEW              -         400 refused: browser_id is missing"


def test_line_of_a_refused_request_names_its_route() -> None:
    line = said(route="create", status=401, accepted=False, refusal="The client key is missing")

    assert line == "create            -         401 refused: The client key is missing"


def test_line_of_a_bot() -> None:
    event = {"type": "VIEW", "browser_id": BROWSER_ID, "channel": "bot"}

    assert said({**event, "page": "Home"}).endswith("  Home (bot)")
    assert said(event).endswith("  (bot)")


def test_line_of_a_reset() -> None:
    event = {"type": "VIEW", "browser_id": BROWSER_ID}

    assert said(event, status=None).endswith("connection reset: response lost")
    assert said(event, status=None, accepted=False, refusal="told to").endswith("connection reset: told to")


def test_line_of_rubbish_that_was_welcomed() -> None:
    assert said([], accepted=False) == "events            -         201 refused: unreadable"


@pytest.mark.parametrize("route", ["create", "show", "callflows", "personalize", "cdn"])
def test_no_line_for_what_is_no_event(route: Route) -> None:
    assert lines_of(received(route=route, accepted=False)) == []


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2J",
        "\x1b]0;title\x07",
        "a\nb",
        "a\rb",
        "\x9b31m",
        "\u202egnp.exe",
        "\ud800",
        "\u2028",
        "\x00",
        "\u200b",
        "\x7f",
    ],
)
def test_control_characters_are_written_out(hostile: str) -> None:
    identifiers = [{"provider": hostile}]
    lines = [
        said({"type": hostile, "browser_id": hostile, "page": hostile}),
        said({"type": "IDENTITY", "identifiers": identifiers}),
        said({"type": [hostile], "browser_id": {hostile: hostile}, "page": 7}),
        said({}, accepted=False, status=400, refusal=hostile),
    ]

    assert all(line.isprintable() for line in lines)
    assert "\\" in lines[0]


def test_long_text_is_cut() -> None:
    assert escaped("x" * 1_000) == "x" * 100 + "..."
    assert len(said({"type": "T" * 999, "browser_id": "B" * 999, "page": "P" * 999})) < 400


def test_letters_of_all_kinds_stay() -> None:
    assert escaped("Süß, 東京, שלום") == "Süß, 東京, שלום"


def test_show_writes_a_whole_line() -> None:
    out = io.StringIO()
    show("a", out)

    assert out.getvalue() == "a\n"


def sent(path: str, route: Route, body: object, refusal: str | None = None) -> list[str]:
    """The lines without their times."""
    text = json.dumps(body).encode()
    lines = lines_of(CollectedRequest(1, 0.0, "POST", path, {}, text, route, 200, refusal is None, refusal))
    return [line.partition("  ")[2] for line in lines]


def test_lines_of_a_batch_to_customerio_hold_no_value_of_a_person() -> None:
    batch = [
        {"type": "page", "anonymousId": BROWSER_ID, "name": "Home"},
        {"type": "identify", "anonymousId": BROWSER_ID, "userId": "secret", "traits": {"email": "secret", "plan": 1}},
        {"type": "track", "userId": "secret", "event": "Order\nCompleted"},
        {"type": "group", "userId": "secret", "groupId": "g1", "traits": {"name": "secret"}},
    ]
    assert sent("/v1/batch", "pipelines", {"batch": batch}) == [
        "page              7ed103bd  Home",
        "identify          7ed103bd  email, plan",
        "track             -         Order\\nCompleted",
        "group             -         g1",
    ]


def test_lines_of_events_to_datalyr() -> None:
    events = [
        {"event_name": "$pageview", "anonymous_id": BROWSER_ID, "properties": {"name": "Home", "url": "secret"}},
        {"event_name": "$identify", "anonymous_id": BROWSER_ID, "user_id": "s", "properties": {"name": "secret"}},
        {"event_name": "purchase", "user_id": "secret", "properties": {"value": 5}},
    ]
    assert sent("/events", "datalyr", {"workspaceId": "ws_1", "events": events}) == [
        "$pageview         7ed103bd  Home",
        "$identify         7ed103bd  name",
        "purchase          -",
    ]


def test_line_of_a_refused_batch_says_why() -> None:
    assert sent("/v1/batch", "pipelines", {"batch": []}, "no key") == [
        "pipelines         -         200 refused: no key"
    ]
