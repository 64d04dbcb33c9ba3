"""The secret keys that sign cookies: the app's own, or those of its framework."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from ..errors import SettingsError


@dataclass(frozen=True, slots=True)
class UnfitKey:
    """A framework's own secret key that is too short to sign with; in place of a secret key it stands for none.

    Attributes:
        name: what the app calls it.
    """

    name: str


SecretKeys = str | bytes | Sequence[str | bytes] | UnfitKey


def checked_keys(key: SecretKeys | None) -> tuple[str | bytes, ...]:
    """Return the keys that a setting names, the newest first; none if nothing is to be signed.

    Raises SettingsError for what cannot sign.
    """
    if key is None or isinstance(key, UnfitKey):
        return ()
    keys: Sequence[str | bytes] = (key,) if isinstance(key, str | bytes) else key
    if not isinstance(keys, Sequence) or not keys or not all(map(_is_key, keys)):
        raise SettingsError(
            "expected text or bytes of at least 8 characters, or a list of such, the newest first",
            setting="secret_key",
        )
    return tuple(keys)


def keys_of_framework(name: str, key: object, fallbacks: Iterable[object]) -> SecretKeys:
    """Return the framework's own keys, as far as they can sign.

    An app that works with a short key goes on working: nothing is signed, as without a key, and that is logged.

    Args:
        name: what the app calls the key.
        key: the key that signs now.
        fallbacks: keys of before; what is unfit among them has signed nothing of ours.
    """
    return cast("list[str | bytes]", [key, *filter(_is_key, fallbacks)]) if _is_key(key) else UnfitKey(name)


def _is_key(key: object) -> bool:
    if isinstance(key, str):
        return len(key) >= 8 and _is_well_formed(key)
    return isinstance(key, bytes) and len(key) >= 8


def _is_well_formed(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
