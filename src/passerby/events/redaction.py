"""Masks secrets in paths, URLs, referrers and campaign values.

Values that are rejected as traits (see `pii`), such as tokens, email addresses and card numbers, must not be stored as
part of a page's address either. A part of a path that contains one is replaced as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote

from .pii import find_card_number, names_secret

MASK = "***"  # needs no escape in a URL
MAX_READ = 3072  # characters of a path or URL that are searched

_SHORT = 256  # characters; only results of shorter texts are cached
_LAYERS = 3  # of percent-encoding that are decoded
_LONGEST = 512  # characters of a part of a path; a longer one is masked
_AFTER = 3  # parts of a path after the name of a secret link that may be its secret

# Parts of a path that precede the secret of a link sent to one person, without the characters between their words.
_SECRET_LINKS = re.compile(
    r"(?:reset|recover)(?:password|pw|account)?|(?:forgot|set|new|change)(?:password|pw)|(?:password|pw)reset|recovery|accountrecovery"
    r"|(?:verify|confirm|activate)(?:email|account)?|(?:email|account)(?:verify|verification|confirm|activation)"
    r"|emailconfirmation|activation|(?:accept)?invit(?:e|ation)"
    r"|magic(?:link|login)?|(?:email)?login(?:link|token)|passwordless|onetime(?:login)?|otp|sso|autologin"
    r"|unsubscribe|optout"
).fullmatch
# Secret parameters in addition to those of `names_secret`, also in a path, such as `;jsessionid=...`.
_SECRET_NAMES = frozenset(
    {
        "jsessionid",
        "phpsessid",
        "aspsessionid",
        "sessionid",
        "session",
        "sid",
        "auth",
        "otp",
        "signature",
        "sig",
        "hmac",
    }
    | {"email", "mail", "code", "key"}
)

# Words in lower case contain no secret.
_is_plain_path = re.compile(r"(?:/(?:[a-z]{1,12}(?:[-_][a-z]{1,12})*(?:\.html?|\.php)?)?)*", re.ASCII).fullmatch
_is_plain = re.compile(r"[a-z]{1,12}(?:[-_][a-z]{1,12})*(?:\.html?|\.php)?", re.ASCII).fullmatch
_is_letters = re.compile(r"[a-z]+", re.ASCII).fullmatch
_NOT_LETTERS = re.compile(r"[-_ ]+")
_find_named = re.compile(r"([A-Za-z][\w.-]{0,63})=(?=[^=])", re.ASCII).findall

_FORMS = re.compile(
    r"(?<![A-Za-z0-9])ey[A-DIJK][\w-]{9,}"  # JSON in base64: a JSON Web Token (RFC 7519), a signed session
    r"|(?i:bearer)[\s+]+\S{8,}"
    r"|\$(?:2[abxy]|argon2(?:id|i|d)|[156]|pbkdf2-sha\d+|scrypt)\$."  # a hashed password in crypt's form
    r"|pbkdf2_sha\d+\$\d+\$"  # and in Django's
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])"  # an access key of AWS
    r"|(?<![A-Za-z0-9])(?:gh[oprsu]|glpat|xox[abeprs]|[rs]k_(?:live|test)|whsec)[-_]\w{8,}"  # and of other services
    r"|(?<![\w-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])",  # a social security number
    re.ASCII,
).search
# Not `@2x` in the name of an image for high resolutions, and not a version or a file name after an @.
_EMAIL = re.compile(
    r"[^\s/@:;,<>()\[\]\"'=&?#]{1,64}@(?![23]x\.|v?\d+\.\d)(?:[\w-]{1,63}\.){1,8}"
    r"(?!(?:js|mjs|ts|css|map|json|html?|xml|txt|png|jpe?g|gif|svg|webp|avif|ico|pdf|woff2?)\b)[^\W\d_]{2,24}(?![^\W\d_])"
).search
_UUID = re.compile(r"(?<![0-9A-Za-z])[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?![0-9A-Za-z])", re.ASCII)
_ULID = re.compile(r"(?<![0-9A-Za-z])01[0-9A-HJKMNP-TV-Z]{24}(?![0-9A-Za-z])", re.ASCII)
_TIME = re.compile(r"(?<!\d)\d{8}T\d{4,6}Z?(?![0-9A-Za-z])", re.ASCII)

_LONG_HEX = 32  # digits; IDs of 24 and names of assets are shorter
_hex_runs = re.compile(r"[0-9a-f]{16,}|[0-9A-F]{16,}", re.ASCII).findall
_is_hex = re.compile(r"[0-9a-fA-F]+", re.ASCII).fullmatch
_pieces = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+", re.ASCII).findall
_parts = re.compile(r"[A-Za-z0-9]+", re.ASCII).findall
# Three letters or more that could be part of a word: with a vowel, and without four consonants in a row.
_is_word = re.compile(r"(?=.*[aeiouy])(?!.*[bcdfghjklmnpqrstvwxz]{4})[a-z]{3,}", re.ASCII | re.IGNORECASE).fullmatch


def masked_path(path: str) -> str:
    """Return a percent-encoded path with a mask in place of each part that contains a secret."""
    if _is_plain_path(path):
        return path
    return _known_path(path) if len(path) <= _SHORT else _masked_path(path)


def masked_url(url: str) -> str:
    """Return an absolute or relative URL with the secrets in its path, query and fragment masked."""
    rest, hash_mark, fragment = url.partition("#")
    rest, mark, query = rest.partition("?")
    scheme, slashes, place = rest.partition("://")
    if slashes:
        authority, slash, path = place.partition("/")
        rest = f"{scheme}://{authority}{masked_path(slash + path)}"
    else:
        rest = masked_path(rest)
    if query:
        query = "&".join(_masked_pair(pair) for pair in query.split("&"))
    if fragment and (holds_secret(fragment) or masked_path(fragment) != fragment):
        fragment = MASK
    return f"{rest}{mark}{query}{hash_mark}{fragment}"


def masked_value(name: str, value: str) -> str:
    """Return the value of a decoded query parameter, or the mask if its name or format is that of a secret."""
    return MASK if value and (_is_secret_name(name) or holds_secret(value)) else value


def has_secret_form(text: str) -> bool:
    """Return whether a text contains a known token, an email address, or a card or social security number.

    Percent-encoding is decoded. Text that is still encoded after several rounds counts as secret.
    """
    layers = _layers_of(text)
    return len(layers) > _LAYERS or any(map(_has_form, layers))


def holds_secret(text: str) -> bool:
    """Return whether a text contains a secret for `has_secret_form`, a named secret, or a long random text."""
    layers = _layers_of(text)
    if len(layers) > _LAYERS:
        return True
    return any(_has_form(layer) or _is_named(layer) or _is_random(layer) for layer in layers)


def _masked_path(path: str) -> str:
    parts = path.split("/")
    after = 0  # the number of following parts that may be the secret of a link
    rest_is_secret = False
    for place, part in enumerate(parts):
        if not part or (after == 0 and not rest_is_secret and _is_plain(part)):
            after = _AFTER if _announces_secret(part) else after
            continue
        if rest_is_secret or (after and not _is_plain(part)) or _is_secret_part(part):
            parts[place] = MASK
            # A hashed password, or base64, may continue after a slash.
            rest_is_secret = rest_is_secret or "$" in unquote(part)
        after = _AFTER if _announces_secret(part) else max(0, after - 1)
    return "/".join(parts)


def _is_secret_part(part: str) -> bool:
    if len(part) > _LONGEST:
        return not _is_letters(part)
    return holds_secret(part) or _hides_path(part)


_known_path = lru_cache(maxsize=2048)(_masked_path)


def _masked_pair(pair: str) -> str:
    name, mark, value = pair.partition("=")
    if holds_secret(name):
        return MASK
    value = value.replace("+", " ")
    return f"{name}{mark}{MASK}" if masked_value(unquote(name), value) == MASK else pair


def _layers_of(text: str) -> Sequence[str]:
    """Return a text, and its percent-decoded forms, one for each layer of encoding."""
    layers = [text]
    while "%" in text and len(layers) <= _LAYERS:
        text = unquote(text)
        if text == layers[-1]:
            break
        layers.append(text)
    return layers


def _hides_path(part: str) -> bool:
    """Return whether a part is itself a path with escaped slashes that contains a secret."""
    for layer in _layers_of(part):
        if "/" in layer:
            return masked_path(layer) != layer
    return False


def _announces_secret(part: str) -> bool:
    if len(part) > 40:
        return False
    word = _NOT_LETTERS.sub("", part).lower()
    return _SECRET_LINKS(word) is not None or (names_secret(part) and len(_NOT_LETTERS.split(part)) <= 2)


def _is_named(text: str) -> bool:
    return "=" in text and any(_is_secret_name(name) for name in _find_named(text))


def _is_secret_name(name: str) -> bool:
    lower = name.lower()
    return lower in _SECRET_NAMES or lower.endswith(("email", "e_mail")) or names_secret(name)


def _has_form(text: str) -> bool:
    if len(text) < 6:
        return False
    if "@" in text and _EMAIL(text):
        return True
    if _FORMS(text):
        return True
    return find_card_number(_UUID.sub("", text) if "-" in text else text)


def _is_random(text: str) -> bool:
    """Return whether a text contains a long random part: many changes between digits and letters, few words."""
    if len(text) < 20:
        return False
    for known in (_UUID, _ULID, _TIME):
        text = known.sub(" ", text)
    if any(len(run) >= _LONG_HEX and not run.isalpha() for run in _hex_runs(text)):
        return True
    parts = [(part, _pieces(part)) for part in _parts(text)]
    length = sum(len(part) for part, pieces in parts if _is_scrambled(part, pieces))
    if length >= 14:
        return True
    if not _is_mixed("".join(part for part, _ in parts)):
        return False
    changes = sum(max(0, len(pieces) - 2) for part, pieces in parts if not _is_hex(part))
    return changes >= 6 and (length >= 8 or changes >= 8)


def _is_scrambled(part: str, pieces: Sequence[str]) -> bool:
    if len(part) < 8 or len(pieces) < 4 or _is_hex(part):
        return False
    if not _is_mixed(part):
        # A short one may be the name of a product, such as `iphone15promax256gb`.
        return sum(map(len, filter(_is_word, pieces))) < (0.6 if len(part) < 32 else 0.85) * len(part)
    # In a part with both cases, pieces in capitals only are not words.
    words = sum(len(piece) for piece in pieces if piece[1:].islower() and _is_word(piece))
    return words < 0.62 * len(part) or len(part) < 2.6 * len(pieces)


def _is_mixed(text: str) -> bool:
    return not (text.islower() or text.isupper())
