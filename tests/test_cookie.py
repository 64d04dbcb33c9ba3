"""The cookies: read without trust, written without a way to inject, signed, rotated, renewed, bound."""

from __future__ import annotations

import string
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner

from passerby.http.set_cookie import CookieAttributes, SetCookie
from passerby.http.visitor_cookies import (
    COOKIE_RENEW_AFTER,
    BrowserIdCookie,
    IdentityCookie,
    LogOutCookie,
    ParsedBrowserId,
    StoredIdentity,
)
from tests.making import BROWSER_ID, KEY, OTHER_ID, by_name, sent_back, value_of

NAME = "bid_key"
PLAIN = CookieAttributes()


def cookie(*keys: str | bytes, attributes: CookieAttributes = PLAIN, **options: Any) -> BrowserIdCookie:
    return BrowserIdCookie(NAME, attributes, keys, **options)


def header(cookies: list[SetCookie]) -> str:
    """What a browser sends after these were set."""
    return sent_back(one.header() for one in cookies).get("cookie", "")


class TestReading:
    def test_a_new_visitor(self) -> None:
        assert cookie().read("a=1", 0) == ParsedBrowserId(None)

    def test_a_returning_visitor(self) -> None:
        assert cookie().read(f"bid_key={BROWSER_ID}", 0) == ParsedBrowserId(BROWSER_ID, is_present=True)

    @pytest.mark.parametrize(
        "value",
        ["", "x", BROWSER_ID + "x", BROWSER_ID + "=", BROWSER_ID + "%0d%0a", "a\r\nSet-Cookie: x=y", "x" * 8000, '"'],
    )
    def test_a_value_that_is_no_id_is_a_new_visitor(self, value: str) -> None:
        assert cookie(KEY).read(f"bid_key={value}", 0) == ParsedBrowserId(None, is_present=True)

    def test_of_several_the_first_valid_counts(self) -> None:
        text = f"bid_key=rubbish; bid_key={BROWSER_ID}; bid_key={OTHER_ID}"
        assert cookie().read(text, 0).browser_id == BROWSER_ID

    def test_of_several_the_signed_one_counts(self) -> None:
        """A cookie of a subdomain or another path may stand before ours."""
        signed = header(cookie(KEY).write(OTHER_ID, secure=True))
        assert cookie(KEY).read(f"bid_key={BROWSER_ID}; {signed}", time.time()) == ParsedBrowserId(
            OTHER_ID, is_present=True
        )
        assert cookie(KEY).read(f"bid_key_sig=x; {signed}", time.time()).browser_id == OTHER_ID

    @pytest.mark.parametrize(
        "piece", ["\\", '"', "=", ";", "; ", "bid_key=", "bid_key;", f"bid_key={OTHER_ID}x;", "%", "\\073"]
    )
    def test_eight_kb_of_hostile_cookie_costs_little(self, piece: str) -> None:
        """As measured beside 8 KB of an ordinary cookie."""

        def cost(text: str) -> float:
            jar = cookie(KEY)
            started = time.thread_time()
            for _ in range(20):
                jar.read(text, 0)
            return time.thread_time() - started

        ordinary = f"bid_key={BROWSER_ID}; " + "; ".join(f"cookie{n}={'v' * 20}" for n in range(270))
        hostile = "bid_key=" + (piece * 8192)[:8184]
        assert len(ordinary) == pytest.approx(len(hostile), rel=0.1)
        assert min(cost(hostile) for _ in range(5)) < 50 * min(cost(ordinary) for _ in range(5))

    @pytest.mark.parametrize("name", ["bid_key_sig", "bid_key_uid"])
    def test_many_cookies_of_our_names_cost_little(self, name: str) -> None:
        """Not each with each: only a few are verified."""

        def cost(header: str) -> float:
            jar, identity = cookie(KEY), IdentityCookie("bid_key_uid", PLAIN, [KEY])
            started = time.thread_time()
            jar.read(header, 0)
            identity.read(header, BROWSER_ID)
            return time.thread_time() - started

        few = f"bid_key={OTHER_ID}; {name}=AAAA.{0:04};" * 4
        many = "".join(f"bid_key={OTHER_ID[:-4]}{n:04}; {name}=AAAA.{n:04};" for n in range(240))
        assert min(cost(many) for _ in range(5)) < 25 * min(cost(few) for _ in range(5))

    @given(st.text(st.characters(max_codepoint=255)))
    def test_no_header_is_too_strange(self, text: str) -> None:
        for attempt in (text, f"bid_key={text}", f"bid_key={BROWSER_ID}; bid_key_sig={text}", f"bid_key={text};{text}"):
            seen = cookie(KEY).read(attempt, 0).browser_id
            assert seen is None or seen in attempt


class TestWriting:
    def test_the_plain_cookie(self) -> None:
        (made,) = cookie().write(BROWSER_ID, secure=True)
        assert made.header() == f"bid_key={BROWSER_ID}; Max-Age=34560000; Path=/; SameSite=Lax; Secure"

    def test_a_cookie_that_scripts_need_not_read(self) -> None:
        (made,) = cookie(readable=False).write(BROWSER_ID, secure=False)
        assert made.header() == f"bid_key={BROWSER_ID}; Max-Age=34560000; Path=/; SameSite=Lax; HttpOnly"

    def test_every_attribute(self) -> None:
        attributes = CookieAttributes("shop.example", "/shop", 60, "none", True, partitioned=True)
        (made,) = cookie(attributes=attributes).write(BROWSER_ID, secure=True)
        assert made.header() == (
            f"bid_key={BROWSER_ID}; Max-Age=60; Path=/shop; SameSite=None; Domain=shop.example; Secure; Partitioned"
        )

    def test_the_signature_is_hidden_from_scripts(self) -> None:
        made = cookie(KEY).write(BROWSER_ID, secure=True)
        assert [(one.name, one.http_only) for one in made] == [("bid_key", False), ("bid_key_sig", True)]
        assert BROWSER_ID not in made[1].value

    def test_it_fits_easily(self) -> None:
        """C13: name and value stay far from the 4,096 bytes that browsers store."""
        assert all(len(one.name) + len(one.value) <= 128 for one in cookie(KEY).write(BROWSER_ID, secure=True))

    def test_without_secure_it_cannot_be_none_or_partitioned(self) -> None:
        """C5, C6: as on http://localhost."""
        attributes = CookieAttributes(same_site="none", partitioned=True)
        (made,) = cookie(attributes=attributes).write(BROWSER_ID, secure=False)
        assert made.header().endswith("; SameSite=Lax")

    def test_no_name_comes_twice(self) -> None:
        by_name(one.header() for one in cookie(KEY).write(BROWSER_ID, secure=True))

    def test_expiring(self) -> None:
        assert [one.header() for one in cookie(KEY).expire(secure=True)] == [
            "bid_key=; Max-Age=0; Path=/; SameSite=Lax; Secure",
            "bid_key_sig=; Max-Age=0; Path=/; SameSite=Lax; Secure; HttpOnly",
        ]

    @given(st.text(st.characters(max_codepoint=255)))
    def test_nothing_received_is_echoed(self, text: str) -> None:
        """Whatever the browser sends, only an ID is ever written, and no header can be broken."""
        for jar in (cookie(), cookie(KEY), cookie(KEY, on_bad_signature="adopt")):
            seen = jar.read(f"bid_key={text}; bid_key_sig={text}", 0).browser_id
            for one in jar.write(seen or OTHER_ID, secure=True):
                assert set(one.header()) <= set(string.ascii_letters + string.digits + "=_-; /.")


class TestSignature:
    def test_round_trip(self) -> None:
        assert cookie(KEY).read(header(cookie(KEY).write(BROWSER_ID, secure=True)), time.time()) == ParsedBrowserId(
            BROWSER_ID, needs_renewal=False, is_present=True
        )

    def test_bytes_and_text_keys_are_the_same(self) -> None:
        text = header(cookie(KEY.encode()).write(BROWSER_ID, secure=True))
        assert not cookie(KEY).read(text, time.time()).needs_renewal

    def test_key_rotation(self) -> None:
        """The newest key signs; cookies of older ones hold; without the older key they are foreign."""
        old = header(cookie("old key").write(BROWSER_ID, secure=True))
        assert cookie("new key", "old key").read(old, time.time()) == ParsedBrowserId(BROWSER_ID, is_present=True)
        assert cookie("new key").read(old, time.time()) == ParsedBrowserId(None, is_present=True)
        new = header(cookie("new key", "old key").write(BROWSER_ID, secure=True))
        assert cookie("new key").read(new, time.time()) == ParsedBrowserId(BROWSER_ID, is_present=True)

    def test_a_tampered_value_is_a_new_visitor(self) -> None:
        text = header(cookie(KEY).write(BROWSER_ID, secure=True)).replace(BROWSER_ID, OTHER_ID)
        assert cookie(KEY).read(text, time.time()) == ParsedBrowserId(None, is_present=True)

    @pytest.mark.parametrize("wrong", ["", "x", "a.b.c", "é", "x" * 5000, ".", "=", "AAAAAA.AAAA"])
    def test_a_tampered_signature_is_a_new_visitor(self, wrong: str) -> None:
        text = f"bid_key={BROWSER_ID}; bid_key_sig={wrong}"
        assert cookie(KEY).read(text, time.time()) == ParsedBrowserId(None, is_present=True)

    def test_tampering_may_be_adopted(self) -> None:
        text = f"bid_key={BROWSER_ID}; bid_key_sig=wrong"
        assert cookie(KEY, on_bad_signature="adopt").read(text, 0) == ParsedBrowserId(
            BROWSER_ID, needs_renewal=True, is_present=True
        )

    def test_without_companion_it_is_adopted_and_signed(self) -> None:
        """The browser SDK made it."""
        assert cookie(KEY).read(f"bid_key={BROWSER_ID}", 0) == ParsedBrowserId(
            BROWSER_ID, needs_renewal=True, is_present=True
        )

    @given(st.lists(st.sampled_from([BROWSER_ID, BROWSER_ID.upper(), OTHER_ID, "x", "", "x" * 36]), max_size=8))
    def test_without_companion_it_may_be_unknown(self, values: list[str]) -> None:
        text = "; ".join(f"bid_key={value}" for value in values)
        assert cookie(KEY, on_missing_signature="reissue").read(text, 0) == ParsedBrowserId(
            None, is_present=bool(values)
        )

    @pytest.mark.parametrize(
        ("age", "refresh"), [(0, False), (COOKIE_RENEW_AFTER - 300, False), (COOKIE_RENEW_AFTER + 5, True)]
    )
    def test_renewal_when_it_is_old(self, age: float, refresh: bool) -> None:
        text = header(cookie(KEY).write(BROWSER_ID, secure=True))
        assert cookie(KEY).read(text, time.time() + age) == ParsedBrowserId(BROWSER_ID, refresh, is_present=True)

    def test_the_signature_of_another_purpose_does_not_count(self) -> None:
        signed = TimestampSigner(KEY).sign(BROWSER_ID).decode()[len(BROWSER_ID) + 1 :]
        assert cookie(KEY).read(f"bid_key={BROWSER_ID}; bid_key_sig={signed}", 0).browser_id is None

    def test_what_strangers_send_is_not_remembered_at_length(self) -> None:
        """The memory of verified values cannot be filled with kilobytes."""
        jar = cookie(KEY)
        for number in range(10):
            jar.read(f"bid_key={BROWSER_ID}; bid_key_sig={number}{'x' * 8000}", 0)
        assert jar._signed.cache_info().currsize == 0


class TestIdentity:
    def jar(self, *keys: str) -> IdentityCookie:
        return IdentityCookie("bid_key_uid", PLAIN, keys or (KEY,))

    def written(self, remembered: StoredIdentity, browser_id: str = BROWSER_ID, **keys: str) -> str:
        line = self.jar(*keys.values()).write(browser_id, remembered, secure=True)
        return f"{line.name}={line.value}"

    @pytest.mark.parametrize(
        "user_id", ["user_123", "ada@b.example", "é\U0001f600", "x" * 255, "\U0001f600" * 255, '";\\']
    )
    def test_round_trip(self, user_id: str) -> None:
        remembered = StoredIdentity(user_id, "digest", 1_767_225_600)
        text = self.written(remembered)
        assert self.jar().read(text, BROWSER_ID) == remembered
        assert len(text) < 4096
        assert text.isascii()
        assert not set(text) & set(' ",;\\')

    @given(st.text(min_size=255, max_size=255), st.integers(0, 10**12))
    def test_it_fits_with_the_longest_name(self, user_id: str, count: int) -> None:
        """Browsers keep 4,096 bytes of name and value."""
        name = "x" * 255
        remembered = StoredIdentity(user_id, "d" * 18, 10**12, count)
        made = [
            IdentityCookie(f"{name}_uid", PLAIN, [KEY]).write(f"anon_{BROWSER_ID}", remembered, secure=True),
            LogOutCookie(f"{name}_out", PLAIN, [KEY]).write(f"anon_{BROWSER_ID}", count, secure=True),
            *BrowserIdCookie(name, PLAIN, [KEY]).write(f"anon_{BROWSER_ID}", secure=True),
        ]
        assert max(len(f"{one.name}{one.value}".encode()) for one in made) <= 4096

    def test_it_is_bound_to_the_browser_id(self) -> None:
        """Copied into another browser it says nothing."""
        text = self.written(StoredIdentity("user_123", "digest", 1))
        assert self.jar().read(text, OTHER_ID) is None

    def test_a_wrong_one_does_not_hide_the_right_one(self) -> None:
        other = self.written(StoredIdentity("other", "digest", 1), OTHER_ID)
        right = self.written(StoredIdentity("user_123", "digest", 1))
        found = self.jar().read(f"bid_key_uid=rubbish; {other}; {right}", BROWSER_ID)
        assert found is not None
        assert found.user_id == "user_123"

    def test_key_rotation(self) -> None:
        text = self.written(StoredIdentity("user_123", "digest", 1), key="old key")
        assert self.jar("new key", "old key").read(text, BROWSER_ID) is not None
        assert self.jar("new key").read(text, BROWSER_ID) is None

    @pytest.mark.parametrize(
        "payload", [[], {}, 5, None, [BROWSER_ID, "u", "d"], [BROWSER_ID, 5, "d", 1], [BROWSER_ID, "u", "d", "1"]]
    )
    def test_a_payload_of_another_shape_says_nothing(self, payload: Any) -> None:
        jar = self.jar()
        assert jar.read(f"bid_key_uid={jar._serializer.dumps(payload)!s}", BROWSER_ID) is None

    def test_its_attributes(self) -> None:
        line = self.jar().write(BROWSER_ID, StoredIdentity("user_123", "digest", 1), secure=True)
        assert line.header().endswith("; Max-Age=34560000; Path=/; SameSite=Lax; Secure; HttpOnly")
        assert value_of(line.header()) == line.value
        assert self.jar().expire(secure=False).header() == "bid_key_uid=; Max-Age=0; Path=/; SameSite=Lax; HttpOnly"

    @given(st.text(st.characters(max_codepoint=255)))
    def test_no_value_is_too_strange(self, text: str) -> None:
        assert self.jar().read(f"bid_key_uid={text}", BROWSER_ID) is None

    def test_what_strangers_send_is_not_remembered_at_length(self) -> None:
        jar = self.jar()
        for number in range(10):
            assert jar.read(f"bid_key_uid={number}{'x' * 8000}", BROWSER_ID) is None
        assert jar._loads.cache_info().currsize == 0  # type: ignore[attr-defined]

    @given(st.integers(1, 10**9), st.integers(0, 10**9), st.integers(0, 50), st.integers(0, 50))
    def test_one_that_is_too_old_or_of_before_a_log_out_says_nothing(
        self, max_age: int, age: int, written: int, known: int
    ) -> None:
        jar = IdentityCookie("bid_key_uid", PLAIN, [KEY], max_age)
        line = jar.write(BROWSER_ID, StoredIdentity("user_123", "digest", 1_767_225_600, written), secure=True)
        found = jar.read(f"{line.name}={line.value}", BROWSER_ID, 1_767_225_600.0 + age, known)
        assert (found is not None) is (age <= max_age and written >= known)
        assert line.max_age == min(max_age, PLAIN.max_age)


class TestLogOut:
    jar = LogOutCookie("bid_key_out", PLAIN, [KEY], 60)

    def written(self, browser_id: str, count: int) -> str:
        return "{0.name}={0.value}".format(self.jar.write(browser_id, count, secure=True))

    def test_it_is_hidden_and_lasts_as_long_as_identities_do(self) -> None:
        line = self.jar.write(BROWSER_ID, 1, secure=True).header()
        assert line.endswith("; Max-Age=60; Path=/; SameSite=Lax; Secure; HttpOnly")
        assert self.jar.expire(secure=True).header().startswith("bid_key_out=; Max-Age=0; ")

    @given(st.lists(st.tuples(st.sampled_from([BROWSER_ID, OTHER_ID]), st.integers(-1, 2**40)), max_size=3))
    def test_of_several_the_last_log_out_counts(self, written: list[tuple[str, int]]) -> None:
        text = "; ".join(self.written(*one) for one in written)
        counts = [count for browser_id, count in written if browser_id == BROWSER_ID]
        expected = LogOutCookie.ROTATED if LogOutCookie.ROTATED in counts else max(counts, default=None)
        assert self.jar.read(text, BROWSER_ID) == expected

    @given(st.text(st.characters(max_codepoint=255)))
    def test_no_value_is_too_strange(self, text: str) -> None:
        assert self.jar.read(f"bid_key_out={text}", BROWSER_ID) is None

    @pytest.mark.parametrize("payload", [[], {}, 5, None, [BROWSER_ID], [BROWSER_ID, "1"], [5, 1], [BROWSER_ID, 1, 1]])
    def test_a_payload_of_another_shape_says_nothing(self, payload: Any) -> None:
        assert self.jar.read(f"bid_key_out={self.jar._serializer.dumps(payload)!s}", BROWSER_ID) is None

    def test_an_identity_is_no_log_out(self) -> None:
        """Each kind of value has a salt of its own."""
        value = IdentityCookie("x", PLAIN, [KEY])._serializer.dumps([BROWSER_ID, 1])
        assert self.jar.read(f"bid_key_out={value!s}", BROWSER_ID) is None
