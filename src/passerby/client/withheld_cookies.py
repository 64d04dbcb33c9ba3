"""Counts the responses that could not set a visitor's cookie, by reason. Each reason is logged once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from logging import Logger

from ..http.session import Session, WithheldReason
from ..logs import get_logger
from ..process import register_fork_aware

log: Logger = get_logger("passerby")

_ADVICE: Mapping[WithheldReason, str] = {
    "shared cache": (
        "a response got no cookie, because a shared cache may keep it: its visitor is a new one at the next page. "
        'Have the app send "Cache-Control: private", or set cache_control="override"'
    ),
    "plain http": (
        "a response got no cookie, because the cookie must be Secure and the request came by plain http. "
        "If a proxy in front speaks https, list it in trusted_proxies; for plain http set cookie_secure=False"
    ),
    "cross-site": (
        "a response got no new browser ID, because the request came from another site and could not carry the cookie "
        "that the browser may have"
    ),
    "frame": (
        "a page in a frame of another site got no cookie, because browsers refuse it there. "
        'For embedded pages set cookie_same_site="none"'
    ),
}


class WithheldCookies:
    """The counts of one `Tracking`.

    Attributes:
        unkept_visitors: the number of new visitors with a recorded event and without a cookie. On their next page they
            are other visitors to the destination.
    """

    def __init__(self) -> None:
        self.unkept_visitors: int = 0
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        register_fork_aware(self)

    @property
    def counts(self) -> dict[str, int]:
        """The number of responses by reason."""
        with self._lock:
            return dict(self._counts)

    def count(self, session: Session) -> None:
        """Count a response without a cookie, if its session has a reason."""
        reason = session.withheld_reason
        if reason is None:
            return
        with self._lock:
            number = self._counts[reason] = self._counts.get(reason, 0) + 1
            if session.has_events and session.parsed_browser_id.browser_id is None:
                self.unkept_visitors += 1
        if number == 1:
            log.warning("%s; stats().withheld_cookies counts such responses", _ADVICE[reason])

    def reset_after_fork(self) -> None:
        """In a forked child: a thread of the parent that held the lock never releases it."""
        self._lock = threading.Lock()
