"""Calls that fail, in the reference."""

from __future__ import annotations

from .case import JSON

OWN_ERROR: JSON = {"code": None, "text": None}  # in passerby's own words, which are not compared
MESSAGES = {
    "MV-0001": '"clientKey" is required.',
    "MV-0002": '"targetURL" is required.',
    "MV-0003": '"pointOfSale" is required.',
    "MV-0004": '"identifiers" is required.',
    "MV-0008": '"friendlyId" is required.',
    "MV-0009": '"pointOfSale" cannot be empty.',
    "IV-0001": 'Incorrect value for "targetURL". Set the value to a valid URL string.',
    "IV-0002": 'Incorrect value for "dob". Format the value according to ISO 8601.',
    "IV-0003": 'Incorrect value for "email". Set the value to a valid email address.',
    "IV-0004": 'Incorrect value for "expiryDate". Format the value according to ISO 8601.',
    "IV-0005": "This event supports maximum 50 attributes. Reduce the number of attributes.",
    "IV-0006": "Incorrect value for the timeout parameter. Set the value to an integer greater than or equal to 0.",
    "IE-0003": "Timeout exceeded. The server did not respond within the allotted time.",
    "IE-0004": "Unable to set the cookie because the browser ID could not be retrieved from the server. "
    "Try again later, or use try-catch blocks to handle this error.",
}


class Refused(Exception):
    """The call fails."""

    def __init__(self, error: JSON) -> None:
        self.error = error
        super().__init__(error)


def coded(code: str) -> JSON:
    return {"code": code, "text": f"[{code}] {MESSAGES[code]}"}
