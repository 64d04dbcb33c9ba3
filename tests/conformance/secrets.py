"""What passerby refuses as a secret of a person, written once more: names of secrets, and numbers of cards."""

from __future__ import annotations

import math
import re
from typing import Any

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LAST_WORDS = frozenset(
    "password passwords passwd pwd passphrase passcode secret token jwt ssn cvv cvc".split()  # noqa: SIM905 - a list
)
_ENDINGS = ("passwordhash", "apikey", "accesskey", "secretkey", "privatekey", "creditcard", "cardnumber", "ccnumber")
# The first digits of cards by their length.
_CARDS = {
    14: (*range(300, 306), *range(360, 370), *range(380, 390)),
    15: (*range(340, 350), *range(370, 380)),
    16: (*range(222, 273), 352, *range(353, 359), *range(400, 500), *range(510, 560), 601, *range(620, 630),
         *range(644, 660)),
}  # fmt: skip


def holds_secret(name: str, value: Any) -> bool:
    """Whether a trait, or what is nested in it, is refused."""
    if isinstance(value, dict):
        return any(holds_secret(f"{name}.{inner}" if name else inner, one) for inner, one in value.items())
    if isinstance(value, list | tuple | set):
        return any(holds_secret(name, one) for one in value)
    is_nothing = value is None or value == "" or isinstance(value, bool)
    if is_nothing or (isinstance(value, float) and not math.isfinite(value)):
        return False
    return _names_secret(name) or (isinstance(value, int) and _is_card(str(value)))


def _names_secret(name: str) -> bool:
    words = [word.lower() for word in _WORDS.findall(name)]
    return bool(words) and (words[-1] in _LAST_WORDS or "".join(words).endswith(_ENDINGS))


def _is_card(digits: str) -> bool:
    if int(digits[:3] or 0) not in _CARDS.get(len(digits), ()):
        return False
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    is_valid = (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0
    is_outside = digits.startswith("2220") or "2721" <= digits[:4] <= "2729" or "3520" <= digits[:4] <= "3527"
    is_outside = is_outside or (len(digits) == 16 and digits.startswith("601") and digits[3] != "1")
    return is_valid and not is_outside
