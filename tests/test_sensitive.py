from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import ValidationError
from passerby.events.pii import check_traits, hash_traits

VISA = "4111 1111 1111 1111"

SECRET = {
    "password": "hunter2",
    "Password": "hunter2",
    "loginPassword": "hunter2",
    "user_pwd": "hunter2",
    "passwordHash": "e99a18c428cb38d5f260853678922e03",
    "reset_token": "abc",
    "accessToken": "abc",
    "API key": "abc",
    "api-key": "abc",
    "apikey": "abc",
    "client_secret": "abc",
    "SSN": 78051120,
    "socialSecurityNumber": "78051120",
    "cc_number": "abc",
    "creditCard": "abc",
    "CVV": 123,
    "note": VISA,
    "visa": 4111111111111111,
    "mastercard": "5555-5555-5555-4444",
    "mastercard of the new range": "2223003122003222",
    "amex": "378282246310005",
    "diners": "30569309025904",
    "discover": "6011111111111117",
    "jcb": "3530111333300000",
    "id": "078-05-1120",
    "session": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "auth": "Bearer abcdefghij",
    "hash": "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    "pem": "-----BEGIN RSA PRIVATE KEY-----\nabc",
    "list": ["fine", VISA],
}
NOT_SECRET = {
    "has_password": True,
    "password": None,
    "token": "",
    "password_changed_at": "2026-01-01T00:00:00Z",
    "token_count": 17,
    "secretary": "Ada",
    "tokenised": "yes",
    "card": "gold",
    "phone": "+353 1 234 5678",
    "phone_without_plus": "44 7700 900123 1234",
    "order": 4111111111111112,
    "snowflake": 1234567890123456789,
    "milliseconds": 1764000000000,
    "price": 4111111111111111.5,
    "uuid": "41111111-1111-4111-8111-111111111111",
    "date": "2026-11-24",
    "plan": "pro",
    "company": {"name": "Analytical Engines", "tokens": 5},
}


@pytest.mark.parametrize(("name", "value"), SECRET.items())
def test_what_looks_like_a_secret_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        check_traits({"plan": "pro", name: value})

    message = str(caught.value)
    assert repr(name) in message
    assert str(value) not in message.replace(repr(name), "")


@pytest.mark.parametrize(("name", "value"), NOT_SECRET.items())
def test_what_does_not_is_taken(name: str, value: Any) -> None:
    check_traits({name: value})


def test_a_secret_within_is_found_and_named_by_its_path() -> None:
    with pytest.raises(ValidationError, match=r"trait 'account\.login\.password'"):
        check_traits({"account": {"plan": "pro", "login": {"password": "hunter2"}}})


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.floats() | st.text(max_size=10)))
def test_it_ends_well_whatever_it_is_given(traits: dict[str, Any]) -> None:
    """Text of at most ten characters is no secret by its form."""
    with suppress(ValidationError):
        check_traits(traits)


def test_hashes_are_those_of_the_normalised_values() -> None:
    traits = {"email": " Ada@Example.COM ", "phone": "+353 (1) 234-5678", "plan": "pro", "name": ""}

    assert hash_traits(traits, {"email", "phone", "name", "missing"}) == {
        # What `printf ada@example.com | sha256sum` and `printf +35312345678 | sha256sum` say.
        "email": "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72",
        "phone": "f6704a0b4019b4d8364a060809df5daf405da293973eab29e266c9046bd1b77b",
    }
    assert traits["email"] == "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72"
    assert (traits["plan"], traits["name"]) == ("pro", "")
