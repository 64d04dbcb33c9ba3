"""One reader for values, IDs, times and browser IDs: the same value is the same everywhere, or refused in words.

pandas and NumPy are not installed here. The classes that stand for theirs do what theirs do as far as it is looked at:
bases, methods and attributes as in pandas 2.2 and NumPy 2.1.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from fractions import Fraction
from numbers import Integral, Real
from types import SimpleNamespace
from typing import Any, NoReturn
from uuid import UUID

import pytest
from django.db.models import TextChoices
from django.utils.functional import SimpleLazyObject, lazystr
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

from passerby import Datalyr, Sitecore, Tracker, Tracking, ValidationError
from passerby.events.event import Event
from passerby.testing import capture_events
from passerby.values.app_values import MISSING, unwrap
from tests.making import BROWSER_ID

MARKER = "a-value-that-nobody-may-see"
MOMENT = datetime(2026, 2, 3, 4, 5, 6, 789_000, UTC)


class NaTType(datetime):
    """pandas's NaT: a datetime that is not itself, and that has no year."""

    def isoformat(self, *args: Any, **options: Any) -> str:
        return "NaT"

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = datetime.__hash__

    def timestamp(self) -> float:
        return float("nan")


class NAType:
    """pandas's NA: every comparison with it is NA, and NA is neither true nor false."""

    def __eq__(self, other: object) -> Any:
        return self

    __ne__ = __eq__
    __hash__ = object.__hash__

    def __bool__(self) -> NoReturn:
        raise TypeError("boolean value of NA is ambiguous")


class Timestamp(datetime):
    """pandas's Timestamp: with nanoseconds, which its ISO form has."""

    def isoformat(self, sep: str = "T", timespec: str = "auto") -> str:
        return f"{super().isoformat(sep, timespec)}000"


class Scalar:
    """A scalar of NumPy's; `item` gives what it is in Python."""

    shape = ()

    def __init__(self, value: Any, kind: str) -> None:
        self.value = value
        self.dtype = SimpleNamespace(kind=kind)

    def item(self) -> Any:
        return self.value

    def __array__(self, dtype: Any = None) -> Any:
        raise NotImplementedError

    def __str__(self) -> str:
        return str(self.value)


class Bool(Scalar):
    """numpy.bool_, which is no number and no bool."""

    def __init__(self, value: bool) -> None:
        super().__init__(value, "b")

    def __bool__(self) -> bool:
        return bool(self.value)


class Int64(Scalar):
    """numpy.int64, which is an Integral, and no int."""

    def __init__(self, value: int) -> None:
        super().__init__(value, "i")

    def __int__(self) -> int:
        return int(self.value)


class Float32(Scalar):
    """numpy.float32, which is a Real, and no float."""

    def __init__(self, value: float) -> None:
        super().__init__(value, "f")

    def __float__(self) -> float:
        return float(self.value)


Integral.register(Int64)
Real.register(Float32)


class Float64(float):
    """numpy.float64, which is a float."""

    shape = ()

    def item(self) -> float:
        return float(self)


class Str(str):
    """numpy.str_, which is text."""

    __slots__ = ()


class Bytes(bytes):
    """numpy.bytes_."""

    __slots__ = ()


class Datetime64(Scalar):
    """numpy.datetime64: its item is a bare number where it counts nanoseconds, and its text an ISO form."""

    def __init__(self, text: str, item: Any = 1_770_091_506_789_000_000) -> None:
        super().__init__(item, "M")
        self.text = text

    def __str__(self) -> str:
        return self.text


class Timedelta64(Scalar):
    """numpy.timedelta64."""

    def __init__(self) -> None:
        super().__init__(5_000, "m")


class Array:
    """numpy.ndarray of one or two dimensions, or a pandas Series."""

    def __init__(self, *values: Any) -> None:
        self.values = values
        inner: Any = getattr(values[0], "shape", ()) if values else ()
        self.shape = (len(values), *inner)

    def __array__(self, dtype: Any = None) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)

    def __bool__(self) -> NoReturn:
        raise ValueError("the truth value of an array is ambiguous")

    def __eq__(self, other: object) -> Any:
        return Array(*(True for _ in self.values))

    __hash__ = None  # type: ignore[assignment]

    def item(self) -> NoReturn:
        raise ValueError("can only convert an array of size 1")


class DataFrame(Array):
    """pandas's DataFrame, of which iteration gives the names of the columns."""

    def __init__(self) -> None:
        super().__init__("name", "price")
        self.shape = (2, 2)


class Arrow:
    """A moment of a library such as arrow or whenever, which is no datetime."""

    def __init__(self, text: str) -> None:
        self.text = text

    def isoformat(self) -> str:
        return self.text


class OtherUUID:
    """A UUID of a library such as uuid_utils, which is no UUID of the standard library's."""

    def __init__(self, text: str) -> None:
        self.hex = text.replace("-", "")
        self.text = text

    hex = ""

    def __str__(self) -> str:
        return self.text


OtherUUID.__name__ = "UUID"


class OwnUUID(UUID):
    """One whose text is not that of a UUID."""

    def __str__(self) -> str:
        return f"<{self.hex}>"


class OwnDecimal(Decimal):
    def __str__(self) -> str:
        return "twelve"


class Plan(str, Enum):  # noqa: UP042 - the older way, of which the text is another
    PRO = "pro"


class Level(IntEnum):
    TOP = 3


class Colour(Enum):
    RED = "red"


class Word(StrEnum):
    YES = "yes"


class Choice(TextChoices):
    ONE = "one", "The first"


class Right(Flag):
    READ = 4


class Nested(Enum):
    INNER = Plan.PRO


@dataclasses.dataclass
class Form:
    name: str = MARKER


class Model:
    """A model of pydantic's."""

    def model_dump(self) -> dict[str, str]:
        return {"name": MARKER}

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter([("name", MARKER)])


class Attrs:
    __attrs_attrs__ = ()


def named(cases: Iterable[Any]) -> list[str]:
    """What tests are called: the type of what is given, and a number, as some types come more than once."""
    firsts = [case[0] if type(case) is tuple and len(case) == 2 else case for case in cases]
    return [f"{type(first).__name__}-{number}" for number, first in enumerate(firsts)]


VALUES: list[tuple[Any, Any]] = [
    (NaTType(1, 1, 1), None),
    (NAType(), None),
    (Timestamp(2026, 2, 3, 4, 5, 6, 789_000), "2026-02-03T04:05:06.789Z"),
    (Timestamp(2026, 2, 3, 4, 5, 6, 789_000, UTC), "2026-02-03T04:05:06.789Z"),
    (Bool(True), True),
    (Bool(False), False),
    (Int64(7), 7),
    (Float32(0.5), 0.5),
    (Float32(float("nan")), None),
    (Float64(2.5), 2.5),
    (Float64("inf"), None),
    (Str("text"), "text"),
    (Datetime64("2026-02-03T04:05:06.789000000"), "2026-02-03T04:05:06.789Z"),
    (Datetime64("2026-02-03", date(2026, 2, 3)), "2026-02-03"),
    (Datetime64("NaT", None), None),
    (Array(Int64(1), Int64(2)), [1, 2]),
    (Array(Array(Float32(1.5)), Array(NaTType(1, 1, 1))), [[1.5], [None]]),
    (Array(Datetime64("2026-02-03T04:05:06.789")), ["2026-02-03T04:05:06.789Z"]),
    (Arrow("2026-02-03T05:05:06.789+01:00"), "2026-02-03T04:05:06.789Z"),
    (Arrow("2026-02-03"), "2026-02-03"),
    (OtherUUID(BROWSER_ID), BROWSER_ID),
    (OwnUUID(BROWSER_ID), BROWSER_ID),
    (OwnDecimal("12"), 12),
    (Fraction(1, 2), 0.5),
    (Plan.PRO, "pro"),
    (Level.TOP, 3),
    (Colour.RED, "red"),
    (Word.YES, "yes"),
    (Choice.ONE, "one"),
    (Right.READ, 4),
    (Nested.INNER, "pro"),
    (lazystr("Sch\u00f6n"), "Sch\u00f6n"),
    ("nul \x00", "nul \x00"),
    ("half \ud83d", "half \ufffd"),
]
PROXIES: list[Callable[[Callable[[], Any]], Any]] = [lambda get: get(), SimpleLazyObject, LocalProxy]


@pytest.fixture(scope="module")
def tracking() -> Iterator[Tracking]:
    tracking = Tracking(
        Sitecore(client_key="key", target_url="http://localhost:9", point_of_sale="shop"),
        Datalyr(workspace_id="ws", target_url="http://localhost:9"),
        identity_provider="CRM",
        browser_id_pool_size=0,
    )
    yield tracking
    tracking.close(0)


@pytest.fixture
def tracker(tracking: Tracking) -> Tracker:
    return tracking.for_visitor(BROWSER_ID, "before")


def told(call: Callable[[], object]) -> Event:
    with capture_events() as events:
        call()
    (event,) = events.events
    return event


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(ValidationError) as caught:
        call()
    assert MARKER not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("value", "becomes"), VALUES, ids=named(VALUES))
def test_a_value_is_what_it_is_wherever_it_stands(tracker: Tracker, value: Any, becomes: Any) -> None:
    event = told(lambda: tracker.event("ADD", {"a": value, "b": [value], "c": {"d": (value,)}}, {"e": value}))
    assert event.data["a"] == becomes
    assert type(event.data["a"]) is type(becomes)
    assert (event.data["b"], event.data["c"]) == ([becomes], {"d": [becomes]})
    assert event.extension == ({} if becomes is None and not is_number(value) else {"e": becomes})
    json.dumps(event.data)
    event = told(lambda: tracker.identify("1", {"trait": value}, destinations=["sitecore"]))
    assert event.extension.get("trait") == becomes


def is_number(value: Any) -> bool:
    """What is no number is sent as null, and so is what is not there; None itself vanishes."""
    return value is not None


IDS: list[tuple[Any, str]] = [
    (Plan.PRO, "pro"),
    (Level.TOP, "3"),
    (Word.YES, "yes"),
    (Choice.ONE, "one"),
    (Colour.RED, "red"),
    (Nested.INNER, "pro"),
    (Int64(7), "7"),
    (Str("text"), "text"),
    (UUID(BROWSER_ID), BROWSER_ID),
    (OwnUUID(BROWSER_ID), BROWSER_ID),
    (OtherUUID(BROWSER_ID), BROWSER_ID),
    (Decimal(12), "12"),
    (Decimal("1E+2"), "100"),
    (OwnDecimal("12"), "12"),
    (lazystr("lazy"), "lazy"),
    (0, "0"),
    (-(2**63), str(-(2**63))),
    (" \tpadded\n", "padded"),
    ("m\u00fcller", "m\u00fcller"),
]
NO_IDS: list[Any] = [
    None, "", "  ", True, Bool(True), 1.5, Float64(5.0), Float32(5.0), Decimal("1.5"), Decimal("NaN"), Decimal("1E+30"),
    Fraction(5, 1), NaTType(1, 1, 1), NAType(), MOMENT, date(2026, 1, 1), b"bytes", Bytes(b"x"), bytearray(b"x"),
    memoryview(b"x"), [1], (1,), {"id": 1}, {1}, object(), Form(), Model(), Array(1), DataFrame(), 2**63, "a" * 256,
    "nul\x00", "half \ud83d", "two\nlines", "bell\x07", "\x9b", Timedelta64(), timedelta(1), 1j,
    Datetime64("2026-01-01"),
]  # fmt: skip


@pytest.mark.parametrize("proxy", PROXIES, ids=["bare", "Django", "Werkzeug"])
@pytest.mark.parametrize(("value", "becomes"), IDS, ids=named(IDS))
def test_an_id_is_its_value(tracking: Tracking, proxy: Any, value: Any, becomes: str) -> None:
    given: Any = proxy(lambda: value)
    visitor = tracking.for_visitor(BROWSER_ID, "before")
    if becomes != BROWSER_ID:
        assert told(lambda: visitor.identify(given)).user_id == becomes
        assert tracking.for_visitor(BROWSER_ID, given).user_id == becomes
    assert told(lambda: visitor.group(given)).data["group_id"] == becomes
    assert told(lambda: tracking.for_visitor(BROWSER_ID, "x").alias(given)).data["previous_id"] == becomes
    identified = told(lambda: visitor.identity({"identifiers": [{"id": given, "provider": "CRM"}]}))
    assert identified.user_id == (becomes if becomes != BROWSER_ID else None)


@pytest.mark.parametrize("value", NO_IDS, ids=named(NO_IDS))
def test_what_is_no_id_is_refused(tracking: Tracking, tracker: Tracker, value: Any) -> None:
    for call in (tracker.identify, tracker.group, tracker.alias):
        refusal(lambda call=call: call(value))  # type: ignore[misc]
    if value is not None:
        refusal(lambda: tracking.for_visitor(BROWSER_ID, value))


@pytest.mark.parametrize("proxy", PROXIES, ids=["bare", "Django", "Werkzeug"])
@pytest.mark.parametrize(
    "value",
    [BROWSER_ID, UUID(BROWSER_ID), OwnUUID(BROWSER_ID), OtherUUID(BROWSER_ID), Str(BROWSER_ID)],
    ids=["text", "UUID", "own UUID", "other UUID", "NumPy"],
)
def test_a_browser_id_may_be_a_uuid(tracking: Tracking, proxy: Any, value: Any) -> None:
    visitor = tracking.for_visitor(proxy(lambda: value))
    assert visitor.browser_id == BROWSER_ID
    assert type(visitor.browser_id) is str
    assert told(visitor.page_view).browser_id == BROWSER_ID


@pytest.mark.parametrize("value", [None, "", 5, b"x", UUID(BROWSER_ID).bytes, BROWSER_ID[:-1], [BROWSER_ID], NAType()])
def test_what_is_no_browser_id_is_refused(tracking: Tracking, value: Any) -> None:
    assert refusal(lambda: tracking.for_visitor(value)).startswith("browser ID: ")


MOMENTS: list[Any] = [
    MOMENT,
    MOMENT.replace(tzinfo=None),
    Timestamp(2026, 2, 3, 4, 5, 6, 789_000),
    Timestamp(2026, 2, 3, 4, 5, 6, 789_000, UTC),
    Datetime64("2026-02-03T04:05:06.789000000"),
    Arrow("2026-02-03T05:05:06.789+01:00"),
    MOMENT.timestamp(),
    Decimal("1770091506.789"),
    Float64(MOMENT.timestamp()),
    Float32(MOMENT.timestamp()),
]


@pytest.mark.parametrize("proxy", PROXIES[:2], ids=["bare", "Django"])
@pytest.mark.parametrize("value", MOMENTS, ids=named(MOMENTS))
def test_a_timestamp_is_a_moment_of_any_library(tracker: Tracker, proxy: Any, value: Any) -> None:
    event = told(lambda: tracker.page_view(timestamp=proxy(lambda: value)))
    assert event.timestamp_text == "2026-02-03T04:05:06.789Z"
    assert type(event.time) is float


NO_MOMENTS: list[Any] = [
        NaTType(1, 1, 1), NAType(), Datetime64("NaT"), float("nan"), float("inf"), -1, True, Bool(True), "2026-02-03",
        1_770_091_506_789, Int64(1_770_091_506_789_000_000), date(2026, 2, 3), b"5", [5], Decimal("NaN"), object(),
        datetime(1, 1, 1), Array(5), timedelta(5), Timedelta64(),  # noqa: DTZ001
]  # fmt: skip


@pytest.mark.parametrize("value", NO_MOMENTS, ids=named(NO_MOMENTS))
def test_what_is_no_moment_is_refused(tracker: Tracker, value: Any) -> None:
    assert refusal(lambda: tracker.page_view(timestamp=value)).startswith("timestamp: ")


@pytest.mark.parametrize(("value", "becomes"), [*IDS[:3], *IDS[8:11], (Str("an id"), "an id")])
def test_an_event_id_is_its_value(tracker: Tracker, value: Any, becomes: str) -> None:
    if not isinstance(value, int):
        event = told(lambda: tracker.page_view(event_id=value))
        assert event.id == becomes
        assert type(event.id) is str


@pytest.mark.parametrize("value", ["", 5, True, b"x", "a\x00", "\ud83d", "x" * 129, [BROWSER_ID], NaTType(1, 1, 1)])
def test_what_is_no_event_id_is_refused(tracker: Tracker, value: Any) -> None:
    assert refusal(lambda: tracker.page_view(event_id=value)).startswith("event_id: ")


@pytest.mark.parametrize(("value", "becomes"), [(Plan.PRO, "pro"), (Word.YES, "yes"), (lazystr("lazy"), "lazy")])
def test_types_points_of_sale_and_context_are_their_values(tracker: Tracker, value: Any, becomes: str) -> None:
    assert told(lambda: tracker.event(value)).type == becomes
    tracker.point_of_sale = value
    event = told(lambda: tracker.page_view({"page": value}, context={"locale": value, "campaign": {"source": value}}))
    assert event.point_of_sale == event.data["page"] == event.context.locale == becomes
    assert event.context.campaign == {"utm_source": becomes}
    assert {type(event.point_of_sale), type(event.context.locale)} == {str}


def test_a_choice_of_destinations_may_be_an_enum(tracker: Tracker) -> None:
    names = StrEnum("names", {"HERE": "sitecore"})
    assert list(tracker.page_view(destinations=[names["HERE"]]).outcomes) == ["sitecore"]


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        (date(1990, 5, 1), "1990-05-01T00:00"),
        (Timestamp(1990, 5, 1, 3, 4), "1990-05-01T03:04"),
        (Datetime64("1990-05-01T03:04:00.000000000"), "1990-05-01T03:04"),
        (Arrow("1990-05-01T03:04:00"), "1990-05-01T03:04"),
        (SimpleLazyObject(lambda: date(1990, 5, 1)), "1990-05-01T00:00"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_birthday_is_of_any_library(tracker: Tracker, value: Any, becomes: str) -> None:
    assert told(lambda: tracker.identify("1", {"dob": value})).data["dob"] == becomes


def test_a_birthday_that_is_missing_is_refused_in_sitecores_words(tracker: Tracker) -> None:
    assert "IV-0002" in refusal(lambda: tracker.identify("1", {"dob": NaTType(1, 1, 1)}))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Model(), "(call its model_dump())"),
        (Form(), "(call dataclasses.asdict)"),
        (Attrs(), "(call attrs.asdict)"),
        (DataFrame(), "found a table of type DataFrame; pass a list of dicts"),
        (Timedelta64(), "type Timedelta64, which has no JSON form"),
        (timedelta(5), "type timedelta, which has no JSON form"),
        (Bytes(b"x"), "type Bytes, which has no JSON form"),
        (memoryview(b"x"), "type memoryview, which has no JSON form"),
        (Arrow("P5D"), "type Arrow, which has no JSON form"),
        (Int64(2**63), "beyond 64 bits"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_json_form_is_refused_with_advice(tracker: Tracker, value: Any, words: str) -> None:
    assert words in refusal(lambda: tracker.event("ADD", {"a": value}))
    assert words in refusal(lambda: tracker.page_view(None, {"a": [value]}))


@pytest.mark.parametrize("value", [Model(), Form(), DataFrame(), Array(1)], ids=lambda value: type(value).__name__)
def test_neither_is_it_event_data_or_traits(tracker: Tracker, value: Any) -> None:
    assert "expected a mapping" in refusal(lambda: tracker.event("ADD", value))
    assert "expected a mapping" in refusal(lambda: tracker.identify("1", value))


ENUMS: st.SearchStrategy[Any] = st.sampled_from([Plan.PRO, Word.YES, Level.TOP, Colour.RED])


@given(st.text() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.datetimes() | st.uuids() | ENUMS)
def test_what_is_read_once_is_read_the_same_again(value: Any) -> None:
    once = unwrap(value)
    assert unwrap(once) == once
    for proxy in (SimpleLazyObject, LocalProxy):
        behind = unwrap(proxy(lambda: value))
        assert behind == once
        assert type(behind) is type(once)


def test_what_is_missing_has_one_name() -> None:
    assert {unwrap(NaTType(1, 1, 1)), unwrap(NAType()), unwrap(Datetime64("NaT"))} == {MISSING}
