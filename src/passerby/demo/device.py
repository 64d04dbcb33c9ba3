"""Two devices in one browser: the shop under two host names of this machine, which share no cookies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """A device, as the shop distinguishes them.

    Attributes:
        name: its name.
        host: the host name of the shop on this device.
        channel: the channel of its events.
    """

    name: str
    host: str
    channel: str

    def origin(self, port: int) -> str:
        """The origin of a server on this machine for this device."""
        return f"http://{self.host}:{port}"


LAPTOP = Device("laptop", "localhost", "WEB")
PHONE = Device("phone", "127.0.0.1", "MOBILE_WEB")
DEVICES = (LAPTOP, PHONE)


def device_of(host: str | None) -> Device:
    """The device of a host name."""
    return PHONE if host == PHONE.host else LAPTOP


@dataclass(frozen=True, slots=True)
class Urls:
    """The URLs of the shop and the collector.

    Attributes:
        shop_port: the shop's port on both devices.
        collector_port: the collector's port.
    """

    shop_port: int
    collector_port: int

    def shop(self, device: Device = LAPTOP) -> str:
        """The shop's origin on a device."""
        return device.origin(self.shop_port)

    @property
    def collector(self) -> str:
        """The collector's origin. It is same-site with the shop on the laptop, as ports do not matter for that."""
        return LAPTOP.origin(self.collector_port)
