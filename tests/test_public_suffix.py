"""Domains for which browsers keep no cookie."""

from __future__ import annotations

from pathlib import Path

import pytest

from passerby.http.public_suffix import _BELOW_ALL, _HOSTS, _LABELS, is_public_suffix

LIST = Path("/usr/share/publicsuffix/public_suffix_list.dat")  # of Debian's package publicsuffix


@pytest.mark.parametrize("domain", ["co.uk", "com.au", "ac.nz", "gov.br", "x.ck", "github.io", "a.run.app"])
def test_public_suffixes(domain: str) -> None:
    assert is_public_suffix(domain)


@pytest.mark.parametrize(
    "domain", ["shop.example", "shop.co.uk", "example.com", "co.de", "a.github.io", "x.y.ck", "t.co"]
)
def test_domains_of_somebodys_own(domain: str) -> None:
    assert not is_public_suffix(domain)


@pytest.mark.skipif(not LIST.exists(), reason="the package publicsuffix is not installed")
def test_all_are_in_the_list_of_publicsuffix_org() -> None:
    """So that no site of somebody's own is refused."""
    rules = {line.split()[0] for line in LIST.read_text("utf-8").splitlines() if line and not line.startswith("//")}
    ours = {f"{label}.{country}" for label, countries in _LABELS.items() for country in countries.split()}
    ours |= {f"*.{parent}" for parent in _BELOW_ALL} | set(_HOSTS.split())
    wildcards = {name for name in ours if f"*.{name.partition('.')[2]}" in rules}
    assert ours - rules - wildcards == set()
