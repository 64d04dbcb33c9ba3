"""Two devices in one browser: the shop under two names of this machine, between which no cookie is shared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """What a visitor holds in the hand, as far as the shop can tell.

    Attributes:
        name: how people call it.
        host: the name of this machine under which the shop is opened there.
        channel: what its events say of it.
    """

    name: str
    host: str
    channel: str

    def origin(self, port: int) -> str:
        """Where a server on this machine is found from here."""
        return f"http://{self.host}:{port}"


LAPTOP = Device("laptop", "localhost", "WEB")
PHONE = Device("phone", "127.0.0.1", "MOBILE_WEB")
DEVICES = (LAPTOP, PHONE)


def device_of(host: str | None) -> Device:
    """The device on which the shop is opened under a name."""
    return PHONE if host == PHONE.host else LAPTOP


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything is to be opened.

    Attributes:
        shop_port: the shop's port, under the names of both devices.
        collector_port: the collector's port.
    """

    shop_port: int
    collector_port: int

    def shop(self, device: Device = LAPTOP) -> str:
        """The shop's origin on a device."""
        return device.origin(self.shop_port)

    @property
    def collector(self) -> str:
        """The collector's origin. Of one site with the shop on the laptop, as ports do not count for that."""
        return LAPTOP.origin(self.collector_port)
