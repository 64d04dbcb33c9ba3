"""Addresses in all the forms in which servers and proxies write them."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.events.context import truncate_ip
from passerby.http.address import parse_network, read_address
from passerby.http.proxies import TrustedProxies
from tests.making import environ_request, request


def is_wrapper(ip: ipaddress.IPv6Address) -> bool:
    return ip.ipv4_mapped is not None or ip in ipaddress.IPv6Network("64:ff9b::/96")


v4 = st.ip_addresses(v=4).map(str)
v6 = st.integers(0, 2**128 - 1).map(ipaddress.IPv6Address).filter(lambda ip: not is_wrapper(ip))
ports = st.integers(0, 65_535)
zones = st.text("abcdefgh0123456789._-", min_size=1, max_size=16)


@given(v4, ports, zones)
def test_an_ipv4_address_in_any_form(address: str, port: int, zone: str) -> None:
    in_v6 = f"::ffff:{address}"
    forms = [address, f"{address}:{port}", f'"{address}:{port}"', f" {address}\t", in_v6, f"[{in_v6}]:{port}"]
    forms += [in_v6.upper(), f"{in_v6}%{zone}", f"64:ff9b::{address}", ipaddress.ip_address(in_v6).exploded]
    for form in forms:
        assert read_address(form) == address, form
        assert truncate_ip(form) == address.rpartition(".")[0] + ".0", form


@given(v6, ports, zones)
def test_an_ipv6_address_in_any_form(ip: ipaddress.IPv6Address, port: int, zone: str) -> None:
    forms = [str(ip), ip.exploded, f"[{ip}]", f"[{ip}]:{port}", f'"[{ip}]:{port}"', f"{ip}%{zone}", f"[{ip}%{zone}]"]
    for form in [*forms, str(ip).upper()]:
        assert read_address(form) == str(ip), form
        truncated = truncate_ip(form)
        assert truncated is not None
        assert int(ipaddress.ip_address(truncated)) == int(ip) >> 80 << 80


@pytest.mark.parametrize(
    "text",
    ["", "unknown", "_hidden", "_", "localhost", "1.2.3", "1.2.3.4.5", "256.1.1.1", "01.2.3.4", "[::1", "[::1]x", "::g",
     "1.2.3.4 5", "unix:/run/app.sock", "[::1]:80 " + "x" * 100, "1" * 10_000, "%eth0", "::ffff:1.2.3"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert read_address(text) is None or text == "[::1"
    assert truncate_ip(text) is None or text == "[::1"


@given(st.text(max_size=120))
def test_nothing_raises(text: str) -> None:
    read_address(text)
    truncate_ip(text)
    parse_network(text)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:192.0.2.1", "192.0.2.1/32"),
        ("fe80::1%eth0", "fe80::1/128"),
        ("::/0", "::/0"),
        ("::ffff:0:0/90", "::ffc0:0:0/90"),
        ("nonsense", "None"),
        ("10.0.0.0/33", "None"),
    ],
)
def test_networks(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


addresses = st.ip_addresses(v=4).map(str).filter(lambda text: not text.startswith("10."))
proxies = st.integers(0, 255).map(lambda last: f"10.0.0.{last}")
blanks = st.sampled_from(["", " ", "\t", " , "])


@given(
    st.lists(addresses), addresses, st.lists(proxies, max_size=5), proxies, st.lists(blanks, min_size=12, max_size=12)
)
def test_of_any_list_the_last_that_is_no_proxy(
    invented: list[str], visitor: str, chain: list[str], peer: str, around: list[str]
) -> None:
    items = [*invented, visitor, *chain]
    header = ",".join(f"{around[n % 12]}{item}{around[n % 7]}" for n, item in enumerate(items))
    for trusted in (["10.0.0.0/8"], ["::ffff:10.0.0.0/104"], ["*", "10.0.0.0/8"], len(chain) + 1):
        for info in (
            request("/", {"x-forwarded-for": header}, client=(peer, 1)),
            environ_request("/", {"x-forwarded-for": header}, REMOTE_ADDR=f"::ffff:{peer}"),
            request("/", {"forwarded": ", ".join(f"for={item}" for item in items)}, client=(peer, 1)),
        ):
            assert TrustedProxies(trusted).client_ip(info) == visitor
