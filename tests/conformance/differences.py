"""Where passerby deliberately differs from the Engage SDK: the table that docs/differences.md is held to.

A difference is no excuse. `reference` says for each what passerby does instead, and that is what is checked.
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """One difference; the name is stable, the rest is for readers.

    Attributes:
        name: what it goes by in the code and in reports.
        sdk: what the SDK does.
        passerby: what passerby does instead.
        reason: why.
    """

    name: str
    sdk: str
    passerby: str
    reason: str


DIFFERENCES = (
    Difference(
        "cookie-values-checked",
        "takes any text in the cookie for a browser ID, cut at a second `=`",
        "takes a cookie value that is not a UUID for no cookie",
        "what a visitor writes into a cookie must not be echoed or sent on",
    ),
    Difference(
        "cookie-header-syntax",
        "splits the Cookie header at `; ` only",
        "reads it as RFC 6265 says, whatever the blanks, a last semicolon or quotes",
        "proxies and clients rewrite the header, and a visitor should not become a new one by that",
    ),
    Difference(
        "cookies-appended",
        "replaces all Set-Cookie headers of the response",
        "appends its own and leaves the others, also one of the same name",
        "an app's session cookie must survive",
    ),
    Difference(
        "cookie-age",
        "asks for 730 days by default, and for any other number of days",
        "asks for 400 days by default and at most, and refuses an age that is not above zero at the start",
        "browsers keep no cookie for more than 400 days",
    ),
    Difference(
        "cookie-path",
        "ignores `cookiePath`",
        "sets the cookie on that path",
        "a setting should do what it says",
    ),
    Difference(
        "cookie-domain-checked",
        "writes `cookieDomain` into the cookie as it is",
        "refuses one that is no domain name at the start",
        "a semicolon in it would become an attribute",
    ),
    Difference(
        "client-key-checked",
        "takes any text for a client key, and pastes it into URLs as it is",
        "refuses one whose characters do not fit a cookie name at the start, and escapes it in URLs",
        "the key names the cookie and is part of the URL",
    ),
    Difference(
        "target-url-checked",
        "takes any URL with any scheme, and pastes it before the path as it is",
        "takes http and https URLs without query, fragment and user only, http only for local hosts; cuts a last slash",
        "events to any other would be lost in silence, or be readable on the way",
    ),
    Difference(
        "browser-id-checked",
        "sets whatever the answer calls `ref`, whatever its status",
        "takes a UUID out of a 2xx answer, else says IE-0004",
        "the answer of a proxy or an error page must not end up in a cookie",
    ),
    Difference(
        "events-retried",
        "gives up an event when its first call fails, and gives a refusal back like a success",
        "tries again, in the visitor's order, and keeps what is refused for good as a dead letter",
        "no event is lost without a count",
    ),
    Difference(
        "redirects-not-followed",
        "follows redirects, which turns an event into a GET without body",
        "counts a redirect as a refusal",
        "an event that was not taken must not count as delivered",
    ),
    Difference(
        "events-get-an-id",
        'sends events of visitors without a cookie with the browser ID ""',
        "gets an ID from Sitecore when such an event is sent",
        "Sitecore refuses an event without a browser ID",
    ),
    Difference(
        "request-untouched",
        "appends the new cookie with its attributes to the request's Cookie header, unless there was an empty one",
        "leaves the request alone; its tracker knows the new ID",
        "the app should see the cookies the browser sent, and all events of a visit should have one ID",
    ),
    Difference(
        "malformed-input-read",
        "throws for malformed percent-escapes, URLs, and language tags",
        "reads what can be read: a malformed escape stays as it stands, a malformed language is none",
        "a visitor must not be able to break a page",
    ),
    Difference(
        "dates-written",
        "drops dates from extension data, and refuses them as date of birth or expiry",
        "writes them: ISO 8601 in UTC, for Sitecore's own fields to the minute",
        "a date that the app gives is not to vanish",
    ),
    Difference(
        "absent-data",
        "fails with an engine's TypeError when event data or identifiers are absent",
        "takes absent event data for empty, and says MV-0004 or MV-0008 where something in it is needed",
        "an error should say what is missing",
    ),
    Difference(
        "types-checked",
        "takes anything for event data, extension data, identifiers and emails, and sends what JavaScript makes of it",
        "refuses, or names the text it expects, where these are not mappings, lists and texts",
        "characters of a text are no attributes",
    ),
    Difference(
        "secrets-refused",
        "sends what looks like a password, a token or a card number, if it is said of a person",
        "refuses it with its name and without its value, unless `sensitive_traits=\"allow\"` is set",
        "it has no business in a customer data platform",
    ),
    Difference(
        "event-type-required",
        "sends a custom event without a type",
        "refuses it",
        "Sitecore refuses it too, later and unseen",
    ),
    Difference(
        "own-fields-kept",
        "has event data of a custom event replace its type and its `ext`, and drops data of other names of its own",
        "refuses event data with a name of Sitecore's own fields, in any spelling, and the type of an identity",
        "what an app's data says must not change what an event is, and nothing is to vanish",
    ),
    Difference(
        "snake-case-names",
        "knows `pageVariantId`, `firstName` and the like in camelCase only",
        "knows their snake_case too",
        "Python's data is in snake_case",
    ),
    Difference(
        "data-bounded",
        "sends data of any size and depth, and reads queries of any length",
        "refuses data nested more than 12 deep, larger than 32 KB, or with integers beyond 64 bits, "
        "and reads 8 KB and 200 parameters of a query",
        "what no service takes should be heard of at the call",
    ),
    Difference(
        "text-well-formed",
        "sends lone surrogates as escapes",
        "replaces them by U+FFFD",
        "they are no text, and cannot be written as UTF-8",
    ),
    Difference(
        "timeout-in-seconds",
        "takes whole milliseconds only",
        "takes seconds, fractions of them, and None for the default",
        "as everything in Python does",
    ),
    Difference(
        "timeout-covers-body",
        "ends the timeout with the headers of the answer",
        "has it cover the body too",
        "a stalling service must not hold a page",
    ),
    Difference(
        "personalize-errors",
        "gives back an error answer as if it were a personalisation",
        "gives back None",
        "a page should not show an error as content",
    ),
    Difference(
        "guest-errors-in-words",
        'asks for the guest of an empty browser ID too, and says "undefined" where an error or answer has another form',
        "says in words what was wrong",
        "an error should say what was found",
    ),
    Difference(
        "referrer-without-query",
        "sends the page's referrer whole",
        "sends it without query and fragment, where it was not given by the app",
        "other sites' queries hold what is not ours to store",
    ),
    Difference(
        "page-without-slash",
        'names a page whose path ends with a slash ""',
        "names it by the last part of the path",
        "that is how many Python frameworks write their paths",
    ),
    Difference(
        "language-as-sent",
        "replaces outdated and three-letter language codes by their modern ones",
        "takes the language as the request says it",
        "the table for it is the browser's",
    ),
    Difference(
        "point-of-sale-none",
        "refuses null for the point of sale",
        "goes back to the setting for None",
        "None is Python's word for the default",
    ),
    Difference(
        "server-issues-cookie",
        "has the page's script ask for an ID, and write an empty cookie if there is none",
        "has the middleware issue it on the page's own response, and no cookie if there is none",
        "it is there in the first request, and cookies of a server live longer than those of a script",
    ),
    Difference(
        "queue-exact",
        "loses events that are added while the queue is sent, and sends all twice if it is processed twice at once",
        "sends each once",
        "each event was tracked once",
    ),
    Difference(
        "javascript-only",
        "has kinds of request, response and error that only JavaScript knows",
        "does with an ordinary request what it always does",
        "there is nothing to copy",
    ),
)  # fmt: skip

BY_NAME = {difference.name: difference for difference in DIFFERENCES}
ALL = frozenset(BY_NAME)
