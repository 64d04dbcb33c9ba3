"""Delivers the events of an app's store until there is an order to end."""

from __future__ import annotations

import time

from ...client.stats import Stats
from ...client.tracking import Tracking
from ..outbox.location import CommandError
from .orders import OrderReader, WorkerOrder

RETRIED_SOON = 10.0  # seconds; an event that is tried again within them is waited for
GIVES_UP = 10.0  # seconds of a store that does not work, after which nothing is waited for
LOOK_EVERY = 1.0  # seconds between two looks whether the threads run
_POLL = 0.02  # seconds
_STORE_TIMEOUT = 5.0  # seconds for the last outcomes
_AT_ONCE = 1.0  # seconds to give everything back


def deliver(tracking: Tracking, orders: OrderReader, *, until_empty: bool) -> Stats:
    """Deliver until there is an order to end, or until nothing waits that can be delivered. Raises CommandError.

    Then nothing more is claimed, running calls end, their outcomes are stored, and the rest is given back. Returns the
    counts at that moment.
    """
    delivery = tracking.delivery
    try:
        delivery.start(delivers=True)
        if until_empty:
            _deliver_all(tracking, orders)
        else:
            _deliver_on(tracking, orders)
        timeout = delivery.request_timeout
        if orders.order == WorkerOrder.END_WITH_APP:
            timeout = _deliver_what_can_be(tracking, orders)
        _let_calls_end(tracking, orders, timeout)
        return tracking.stats()
    finally:
        tracking.close(_AT_ONCE if orders.order >= WorkerOrder.STOP_NOW else _STORE_TIMEOUT)


def is_empty(tracking: Tracking, within: float) -> bool:
    """Return whether nothing is being sent, or can be sent within some seconds.

    Raises CommandError if the store does not work.
    """
    if tracking.delivery.can_deliver(within):
        return False
    stats = tracking.stats()  # an exchange, which also claims what is due
    if stats.outbox != "ok":
        raise CommandError(f"found the outbox {stats.outbox}; what waits there is not known")
    return not tracking.delivery.can_deliver(within)


def _deliver_on(tracking: Tracking, orders: OrderReader) -> None:
    while orders.order == WorkerOrder.DELIVER:
        orders.wait(LOOK_EVERY)
        if not tracking.delivery.is_running:
            tracking.delivery.start()


def _deliver_all(tracking: Tracking, orders: OrderReader) -> None:
    works_until = time.monotonic() + GIVES_UP
    while orders.order == WorkerOrder.DELIVER:
        try:
            if is_empty(tracking, RETRIED_SOON):
                return
            works_until = time.monotonic() + GIVES_UP
        except CommandError:
            if time.monotonic() > works_until:
                raise
        orders.wait(_POLL)


def _deliver_what_can_be(tracking: Tracking, orders: OrderReader) -> float:
    """Deliver what can be delivered within the app's close_timeout. Returns what is left of it for running calls."""
    until = time.monotonic() + tracking.close_timeout
    last_claim = until - tracking.close_timeout / 4
    while orders.order == WorkerOrder.END_WITH_APP and (rest := last_claim - time.monotonic()) > 0:
        try:
            if is_empty(tracking, rest):
                break
        except CommandError:  # its threads try again
            pass
        orders.wait(min(_POLL, rest))
    return max(0.0, until - time.monotonic())


def _let_calls_end(tracking: Tracking, orders: OrderReader, timeout: float) -> None:
    """Claim nothing more, and wait for running calls, up to a second order."""
    delivery, until = tracking.delivery, time.monotonic() + timeout
    delivery.stop_claiming()
    while orders.order < WorkerOrder.STOP_NOW and not delivery.drain(0.0) and (rest := until - time.monotonic()) > 0:
        orders.wait(min(_POLL, rest))
