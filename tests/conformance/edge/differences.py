"""Where passerby deliberately differs from the SDKs for the edge: the table that docs/differences.md is held to.

A difference is no excuse. `model` says for each what passerby does instead, and that is what is checked.
"""

from __future__ import annotations

from ..differences import Difference

DIFFERENCES = (
    Difference(
        "cookie-values-checked",
        "take any text in a cookie for an ID, cut at a second `=`",
        "takes a cookie value that is not a UUID for no cookie",
        "what a visitor writes into a cookie must not be echoed or sent on",
    ),
    Difference(
        "cookie-header-syntax",
        "split the Cookie header at `; ` only",
        "reads it as RFC 6265 says, whatever the blanks, a last semicolon or quotes",
        "proxies and clients rewrite the header, and a visitor should not become a new one by that",
    ),
    Difference(
        "empty-cookies-replaced",
        "move an empty older cookie over; Cloud sets an empty `sc_cid` again, for good",
        "takes an empty cookie for none",
        "a visitor without an ID needs one",
    ),
    Difference(
        "cookies-appended",
        "Cloud replaces all Set-Cookie headers of the response, its own first one too; Content glues what it sets to "
        "the end of a single one, or replaces all where it moves older cookies",
        "appends each of its cookies as a header, once, and leaves the app's",
        "an app's session cookie must survive, and so must the browser ID beside the guest ID",
    ),
    Difference(
        "cookie-age",
        "ask for 730 days by default, and for any other number of days",
        "asks for 400 days by default and at most, and refuses an age that is not above zero at the start",
        "browsers keep no cookie for more than 400 days",
    ),
    Difference(
        "cookie-path",
        "ignore `cookiePath`",
        "sets the cookies on that path",
        "a setting should do what it says",
    ),
    Difference(
        "cookie-domain-checked",
        "write `cookieDomain` into the cookies as it is",
        "refuses one that is no domain name at the start",
        "a semicolon in it would become an attribute",
    ),
    Difference(
        "context-id-checked",
        "take any text for a context ID, and paste it into URLs as it is",
        "refuses one whose characters do not fit a cookie name at the start",
        "the context ID names the older cookie and is part of the URL",
    ),
    Difference(
        "names-escaped",
        "paste the site name into the URL as it is, so that a `&` or a `#` in it changes the request",
        "escapes it",
        "events must get to their site, whatever its name",
    ),
    Difference(
        "target-url-checked",
        "take any URL with any scheme, and paste it before the path as it is",
        "takes http and https URLs without query, fragment and user only, http only for local hosts; cuts a last slash",
        "events to any other would be lost in silence, or be readable on the way",
    ),
    Difference(
        "browser-id-checked",
        "set whatever the answer calls `ref`, Cloud whatever its status",
        "takes a UUID out of a 2xx answer, else says IE-0003 or IE-005",
        "the answer of a proxy or an error page must not end up in a cookie",
    ),
    Difference(
        "visits-apart",
        "keep the settings, the last answer or the whole request for all requests of the process",
        "keeps nothing of one visitor for another; each object has its own settings",
        "a visitor must not get the guest ID, the browser ID or the campaign of another, nor an event another site",
    ),
    Difference(
        "guest-when-needed",
        "ask for the guest ID of a returning visitor at initialisation, without a time limit, and fail if that fails; "
        "keep the guest ID of another browser ID",
        "asks for it when it is needed, keeps it with its browser ID only, and sends what it knows",
        "a page must not wait for what it may not need, nor fail without it",
    ),
    Difference(
        "stale-cookies-deleted",
        "leave cookies behind that belong to no visitor: older ones that are no ID, guest IDs of other browser IDs",
        "deletes them with a new browser ID or one that is moved",
        "what is left of an earlier visitor must not come back",
    ),
    Difference(
        "guest-when-known",
        "forget the guest ID of a new visitor unless its cookie is switched on",
        "sends it with a personalisation of the same request",
        "it says whom the content is for",
    ),
    Difference(
        "request-untouched",
        "append the new cookies with their attributes to the request's Cookie header, and rename older ones in it, "
        "Cloud an older guest cookie to `sc_cid`",
        "leaves the request alone; its tracker knows the ID, an older cookie's first",
        "the app should see the cookies the browser sent, and all events of a visit should have one ID",
    ),
    Difference(
        "failures-pass",
        "Content fails in each later call once initialising has failed; in a browser Cloud does too",
        "tries again when an event is sent",
        "a service that was away for a moment must not cost the rest of the visit",
    ),
    Difference(
        "ready-when-made",
        "refuse calls before initialisation, and those of packages that were not added",
        "needs no initialisation, and has all calls",
        "there is nothing to forget",
    ),
    Difference(
        "events-retried",
        "give up an event when its first call fails; Cloud gives a refusal back like a success",
        "tries again, in the visitor's order, and keeps what is refused for good as a dead letter",
        "no event is lost without a count",
    ),
    Difference(
        "redirects-not-followed",
        "follow redirects, which turns an event into a GET without body",
        "counts a redirect as a refusal",
        "an event that was not taken must not count as delivered",
    ),
    Difference(
        "events-get-an-id",
        'send events of visitors without a cookie with the browser ID ""',
        "gets an ID from Sitecore when such an event is sent",
        "an event without a visitor is of no use",
    ),
    Difference(
        "answers-are-json",
        "Content gives back the text of an answer that is not JSON",
        "gives back JSON or None",
        "a login page is no answer to an event",
    ),
    Difference(
        "bots-are-no-persons",
        "Content drops page views of bots, leaves it to its users to send them as a bot's, and sends bots' identities, "
        "events, forms and personalisations as a person's; it moves their guest cookies",
        "with `bots=\"tag\"` sends page views as a bot's, and drops and counts the rest; no cookie is set",
        "visits of persons are billed, and a bot is none",
    ),
    Difference(
        "clients-are-no-bots",
        "Content takes HTTP clients such as curl and python-requests for bots",
        "does not",
        "a developer who tests with curl should see what a browser gets",
    ),
    Difference(
        "site-of-a-call",
        "know no point of sale: it is dropped, or an attribute of a custom event",
        "takes the data's `point_of_sale` for the site of this call",
        "an app with several sites tracks for each",
    ),
    Difference(
        "malformed-input-read",
        "throw for malformed percent-escapes in the query",
        "reads what can be read: a malformed escape stays as it stands",
        "a visitor must not be able to break a page",
    ),
    Difference(
        "dates-written",
        "drop dates from extension data, and refuse them as date of birth or expiry",
        "writes them: ISO 8601 in UTC, for Sitecore's own fields to the minute or day",
        "a date that the app gives is not to vanish",
    ),
    Difference(
        "either-birthday",
        "take one form of `dob` each, Cloud to the minute, Content to the day, and refuse the other's",
        "takes both, and sends the one that the SDK sends",
        "an app should not have to change its data with its SDK",
    ),
    Difference(
        "absent-data",
        "fail with an engine's TypeError when data or identifiers are absent",
        "takes absent data for empty, and says what in it is needed",
        "an error should say what is missing",
    ),
    Difference(
        "no-empty-ext",
        "send an empty `ext` with a page view without data, also where the URL has a page variant",
        "sends the variant, and no `ext` without one",
        "a page view without data is one all the same",
    ),
    Difference(
        "types-checked",
        "take anything for data, extension data, identifiers and emails, and send what JavaScript makes of it",
        "refuses, or names the text it expects, where these are not mappings, lists and texts",
        "characters of a text are no attributes",
    ),
    Difference(
        "numbers-are-ids",
        "fail with an engine's TypeError for a number as the ID of a personalisation",
        "sends it",
        "a database key is one",
    ),
    Difference(
        "form-checked",
        "send a form event with an empty form ID or component, and fail with a TypeError without an interaction",
        "refuses empty ones, and says what is missing",
        "an event of no form is of no use",
    ),
    Difference(
        "form-as-on-a-server",
        "send the page's language with a form event in a browser, and not on a server",
        "does not",
        "an event of a form has three attributes, and is the same wherever it is tracked",
    ),
    Difference(
        "secrets-refused",
        "send what looks like a password, a token or a card number, if it is said of a person",
        "refuses it with its name and without its value, unless `sensitive_traits=\"allow\"` is set",
        "it has no business in a customer data platform",
    ),
    Difference(
        "event-type-required",
        "send a custom event without a type",
        "refuses it",
        "Sitecore refuses it too, later and unseen",
    ),
    Difference(
        "own-fields-kept",
        "send an attribute `ext` in the place of extension data, and drop data of other names of their own",
        "refuses event data with a name of Sitecore's own fields, in any spelling, and the type of an identity",
        "what an app's data says must not change what an event is, and nothing is to vanish",
    ),
    Difference(
        "snake-case-names",
        "know `pageVariantId`, `extensionData` and the like in camelCase only",
        "knows their snake_case too",
        "Python's data is in snake_case",
    ),
    Difference(
        "data-bounded",
        "send data of any size and depth, and read queries of any length",
        "refuses data nested more than 12 deep, larger than 32 KB, or with integers beyond 64 bits, "
        "and reads 8 KB and 200 parameters of a query",
        "what no service takes should be heard of at the call",
    ),
    Difference(
        "text-well-formed",
        "send lone surrogates as escapes",
        "replaces them by U+FFFD",
        "they are no text, and cannot be written as UTF-8",
    ),
    Difference(
        "utm-of-any-case",
        "look for `utm_` in lower case anywhere in the query before they read the campaign of a personalisation",
        "sends a campaign where there is one, in whatever case",
        "a page view of the same URL has it",
    ),
    Difference(
        "arguments-untouched",
        "write the campaign into the caller's `params`",
        "does not",
        "used again for the next visitor they would keep the first one's",
    ),
    Difference(
        "user-agent-in-ascii",
        "send the visitor's User-Agent with a personalisation, whatever is in it",
        "leaves out one that is not printable ASCII",
        "not every client and proxy can send it",
    ),
    Difference(
        "timeout-in-seconds",
        "take whole milliseconds only; Content takes 0 for none",
        "takes seconds, fractions of them, and None for the default",
        "as everything in Python does",
    ),
    Difference(
        "timeout-covers-body",
        "end the timeout with the headers of the answer",
        "has it cover the body too",
        "a stalling service must not hold a page",
    ),
    Difference(
        "personalize-errors",
        "Cloud gives back an error answer as if it were a personalisation, both what is no object",
        "gives back None",
        "a page should not show an error as content",
    ),
    Difference(
        "guest-errors-in-words",
        'say "undefined" where an error has another form, or fail with an engine\'s error',
        "says in words what was wrong",
        "an error should say what was found",
    ),
    Difference(
        "referrer-without-query",
        "send the page's referrer whole",
        "sends it without query and fragment, where it was not given by the app",
        "other sites' queries hold what is not ours to store",
    ),
    Difference(
        "page-without-slash",
        'name a page whose path ends with a slash ""',
        "names it by the last part of the path",
        "that is how many Python frameworks write their paths",
    ),
    Difference(
        "server-issues-cookie",
        "have the page's script ask for an ID",
        "has the middleware issue it on the page's own response",
        "it is there in the first request, and cookies of a server live longer than those of a script",
    ),
    Difference(
        "no-script",
        "load Sitecore's script of web personalisation into the page, if asked to",
        "leaves that to the SDK in the page",
        "a server sends no scripts of others",
    ),
    Difference(
        "queue-exact",
        "send the queue in the background, and keep it in the page's storage until all is sent",
        "hands it over at once",
        "each event is sent once",
    ),
    Difference(
        "javascript-only",
        "have kinds of request and response that only JavaScript knows",
        "does with an ordinary request what it always does",
        "there is nothing to copy",
    ),
)  # fmt: skip

BY_NAME = {difference.name: difference for difference in DIFFERENCES}
ALL = frozenset(BY_NAME)
