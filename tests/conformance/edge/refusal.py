"""Calls that fail, in the words of both SDKs."""

from __future__ import annotations

from ..case import JSON

_ENDING = "If the issue persists, try again later or use try-catch blocks to handle this error."
_CLOUD_VALUES = f'Make sure to set the correct values for "sitecoreEdgeContextId" and "siteName". {_ENDING}'
_CONTENT_VALUES = f'Make sure to set the correct values for "contextId" and "siteName". {_ENDING}'
_DATE = 'Incorrect value for "{}". Format the value according to ISO 8601.'
_EMAIL = 'Incorrect value for "email". Set the value to a valid email address.'
_LIMIT = '"extensionData" supports maximum 50 attributes. Reduce the number of attributes.'
_TIMEOUT = 'Incorrect value for "timeout". Set the value to an integer greater than or equal to 0.'
_TOO_LATE = "Timeout exceeded. The server did not respond within the allotted time."
_FIRST = 'You must first initialize the Cloud SDK and the "{0}" package. First, import "CloudSDK" from '
_FIRST += '"@sitecore-cloudsdk/core/{1}" and import "@sitecore-cloudsdk/{0}/{1}". Then, run "{2}".'

MESSAGES: dict[str, dict[str, tuple[str, str]]] = {
    "cloud": {
        "contextId": ("MV-0001", '"sitecoreEdgeContextId" is required.'),
        "siteName": ("MV-0002", '"siteName" is required.'),
        "edgeUrl": ("IV-0001", 'Incorrect value for "sitecoreEdgeUrl". Set the value to a valid URL string.'),
        "identifiers": ("MV-0003", '"identifiers" is required.'),
        "friendlyId": ("MV-0004", '"friendlyId" is required.'),
        "dob": ("IV-0002", _DATE.format("dob")),
        "email": ("IV-0003", _EMAIL),
        "expiryDate": ("IV-0004", _DATE.format("expiryDate")),
        "extensionData": ("IV-0005", _LIMIT),
        "timeout": ("IV-0006", _TIMEOUT),
        "too late": ("IE-0002", _TOO_LATE),
        "no browser ID": (
            "IE-0003",
            'Unable to set the "sc_{SitecoreEdgeContextId}" cookie because the browser ID could not be retrieved from '
            f"the server. {_CLOUD_VALUES}",
        ),
        "no guest ID": (
            "IE-0011",
            'Unable to set the "sc_{SitecoreEdgeContextId}_personalize" cookie because the guest ID could not be '
            f"retrieved from the server. {_CLOUD_VALUES}",
        ),
        "core in browser": (
            "IE-0012",
            'You must first initialize the Cloud SDK. Import "CloudSDK" from "@sitecore-cloudsdk/core/browser", then '
            'run "CloudSDK().initialize()".',
        ),
        "events in browser": ("IE-0014", _FIRST.format("events", "browser", "CloudSDK().addEvents().initialize()")),
        "events": ("IE-0015", _FIRST.format("events", "server", "await CloudSDK().addEvents().initialize()")),
        "personalize in browser": (
            "IE-0016",
            _FIRST.format("personalize", "browser", "CloudSDK().addPersonalize().initialize()"),
        ),
        "personalize": (
            "IE-0017",
            _FIRST.replace(" and import", ", and import").format(
                "personalize", "server", "await CloudSDK().addPersonalize().initialize()"
            ),
        ),
    },
    "content": {
        "contextId": ("MV-001", '"contextId" is required.'),
        "siteName": ("MV-002", '"siteName" is required.'),
        "edgeUrl": ("IV-001", 'Incorrect value for "edgeUrl". Set the value to a valid URL.'),
        "identifiers": ("MV-003", '"identifiers" is required.'),
        "friendlyId": ("MV-004", '"friendlyId" is required.'),
        "dob": ("IV-003", _DATE.format("dob")),
        "email": ("IV-004", _EMAIL),
        "expiryDate": ("IV-005", _DATE.format("expiryDate")),
        "extensionData": ("IV-006", _LIMIT),
        "timeout": ("IV-002", _TIMEOUT),
        "too late": ("IE-003", _TOO_LATE),
        "no browser ID": (
            "IE-005",
            'Unable to set the "sc_cid" cookie because the client ID could not be retrieved from the server. '
            f"{_CONTENT_VALUES}",
        ),
        "no guest ID": (
            "IE-006",
            'Unable to set the "sc_cid_personalize" cookie because the visitor ID could not be retrieved from the '
            f"server. {_CONTENT_VALUES}",
        ),
        "events without analytics": (
            "IE-001",
            '"EventsPlugin" also requires "AnalyticsPlugin". Add the missing dependency.',
        ),
        "not initialized": (
            "IE-002",
            'SDK not initialized. You must first initialize the SDK using "initContentSdk()".',
        ),
        "no events plugin": (
            "IE-004",
            'Plugin not registered. You must first add "EventsPlugin" to the "initContentSdk()" "plugins" array.',
        ),
    },
}


def coded(sdk: str, what: str) -> JSON:
    """The error of an SDK for `what` is wrong."""
    code, text = MESSAGES[sdk][what]
    return {"code": code, "text": f"[{code}] {text}"}
