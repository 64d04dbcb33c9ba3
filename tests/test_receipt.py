"""The receipt: it can be ignored, awaited, or asked."""

from __future__ import annotations

import asyncio
import threading

import pytest

from passerby import Dead, Delivered, Dropped, Pending, Receipt
from tests.making import PATIENCE


def later(action: object, delay: float = 0.02) -> None:
    assert callable(action)
    threading.Timer(delay, action).start()


def test_at_first_nothing_is_known() -> None:
    receipt = Receipt("id", ("a", "b"))
    assert receipt.outcomes == {"a": Pending(), "b": Pending()}
    assert repr(receipt) == "<Receipt id a: Pending, b: Pending>"
    assert receipt.wait_delivered(0) == receipt.outcomes
    with pytest.raises(TimeoutError):
        receipt.wait_stored(0)


def test_what_was_dropped_is_settled() -> None:
    receipt = Receipt.dropped("consent", ("a", "b"))
    assert receipt.event_id is None
    assert receipt.wait_delivered() == {"a": Dropped("consent"), "b": Dropped("consent")}
    receipt.wait_stored()


def test_waiting_in_sync_code() -> None:
    receipt = Receipt("id", ("a", "b"))
    later(receipt.on_stored)
    receipt.wait_stored(PATIENCE)
    receipt.wait_stored(0)
    later(lambda: receipt.on_settled("a", Dead("status 400")))
    later(lambda: receipt.on_settled("b", Delivered({"ref": "x"})), 0.05)
    assert receipt.wait_delivered(PATIENCE) == {"a": Dead("status 400"), "b": Delivered({"ref": "x"})}


async def test_waiting_in_async_code() -> None:
    receipt = Receipt("id", ("a",))
    later(receipt.on_stored)
    await receipt.stored()
    await receipt.stored()
    later(lambda: receipt.on_settled("a", Delivered()))
    assert await receipt.delivered(PATIENCE) == {"a": Delivered()}
    assert await receipt.delivered(0) == {"a": Delivered()}


async def test_who_awaits_it_waits_for_its_delivery() -> None:
    receipt = Receipt("id", ("a",))
    asyncio.get_running_loop().call_soon(receipt.on_settled, "a", Delivered())  # before time runs out, on any machine
    assert await receipt == {"a": Delivered()}


async def test_time_runs_out() -> None:
    receipt = Receipt("id", ("a",))
    assert await receipt.delivered(0.01) == {"a": Pending()}
    receipt.on_settled("a", Delivered())
    assert await receipt.delivered() == {"a": Delivered()}


async def test_many_wait_at_once() -> None:
    receipt = Receipt("id", ("a",))
    waiting = [asyncio.create_task(receipt.delivered(PATIENCE)) for _ in range(20)]
    waiting += [asyncio.create_task(receipt.delivered(0.001)) for _ in range(5)]
    given_up = asyncio.create_task(receipt.stored())
    await asyncio.sleep(0.02)
    given_up.cancel()
    later(lambda: receipt.on_settled("a", Delivered()))
    outcomes = await asyncio.gather(*waiting)
    assert outcomes == [{"a": Delivered()}] * 25 or outcomes[:20] == [{"a": Delivered()}] * 20


def test_it_is_told_of_two_things_at_once() -> None:
    """Whoever tells the first is in the midst of waking when the second is told, by another thread."""
    receipt = Receipt("id", ("a",))
    first, second = receipt._waiter(for_storage=True), receipt._waiter(for_storage=True)
    assert first is not None
    assert second is not None
    first.add_done_callback(lambda _: receipt.on_settled("a", Delivered()))

    receipt.on_stored()

    assert second.done()
    assert receipt.wait_delivered(0) == {"a": Delivered()}


def test_settled_is_stored_too() -> None:
    receipt = Receipt("id", ("a",))
    later(lambda: receipt.on_settled("a", Delivered()))
    receipt.wait_stored(PATIENCE)


def test_a_loop_that_is_gone_by_then() -> None:
    """The answer comes after the app's loop was closed: nobody minds."""
    receipt = Receipt("id", ("a",))
    assert asyncio.run(receipt.delivered(0.001)) == {"a": Pending()}
    receipt.on_stored()
    receipt.on_settled("a", Delivered())
