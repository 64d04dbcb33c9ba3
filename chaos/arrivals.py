"""What arrives at the destination, event by event."""

from __future__ import annotations

import time

from passerby.collector import CollectedRequest


class Arrivals:
    """The record of the collector, by event ID. Fed from the collector's thread, read from any.

    The Stream API has no field for an event's ID, so the victims say it in their event data as well.

    Attributes:
        bodies: the bodies of the accepted requests, by event ID, each as often as it came.
        times: when requests with events came, in seconds since 1970, whatever was answered.
    """

    def __init__(self) -> None:
        self.bodies: dict[str, list[bytes]] = {}
        self.times: list[float] = []

    def on_received(self, received: CollectedRequest) -> None:
        if received.route != "events":
            return
        self.times.append(received.time)
        event = received.event
        if received.accepted and event is not None:
            self.bodies.setdefault(str(event.get("recorded")), []).append(received.body)

    @property
    def duplicated(self) -> list[str]:
        """The IDs of the events that arrived more than once."""
        return [event_id for event_id, bodies in list(self.bodies.items()) if len(bodies) > 1]

    @property
    def differing(self) -> list[str]:
        """The IDs of those that were not the same, byte by byte, each time."""
        return [event_id for event_id, bodies in list(self.bodies.items()) if len(set(bodies)) > 1]

    def first_after(self, moment: float) -> float | None:
        """When the first request came after a moment."""
        return next((time for time in list(self.times) if time >= moment), None)

    def wait_for(self, recorded: set[str], patience: float) -> bool:
        """Wait until all of these have arrived; whether they have."""
        gives_up = time.monotonic() + patience
        while not recorded <= self.bodies.keys():
            if time.monotonic() > gives_up:
                return False
            time.sleep(0.01)
        return True
