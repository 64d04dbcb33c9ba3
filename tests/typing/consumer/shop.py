"""What users of passerby write, to be checked by their type checkers at the strictest; it is never run."""

from __future__ import annotations

from datetime import UTC, datetime

from passerby import (
    CustomerIO,
    Datalyr,
    Delivered,
    Receipt,
    RequestInfo,
    Secret,
    SettingsError,
    Sitecore,
    Sites,
    Tracker,
    Tracking,
    ValidationError,
    current_tracker,
    init_server,
)


def ask_for_consent(request: RequestInfo) -> bool | None:
    choice = request.cookies.get("choice")
    return None if choice is None else choice == "all"


def find_point_of_sale(request: RequestInfo) -> str | None:
    return "shop/ireland" if request.host.endswith(".ie") else None


tracking = Tracking(
    Sitecore(client_key="key", target_url="https://api.example.com", point_of_sale=find_point_of_sale),
    CustomerIO(write_key=Secret("sk_eu_1"), region="eu", gzip=True, name="eu"),
    Datalyr(workspace_id="ws_1", form="events", page_view_name="pageview"),
    secret_key=["a new key", "an older key"],
    channel="WEB",
    currency="EUR",
    consent=ask_for_consent,
    auto_page_views=True,
    cookie_same_site="none",
    trusted_proxies=["10.0.0.0/8"],
)
sites = Sites(lambda request: request.host, lambda name: Tracking.from_mapping({"channel": name}))
engage: Tracking = init_server(client_key="key", target_url="https://api.example.com", force_server_cookie_mode=True)


async def tell(tracker: Tracker) -> str | None:
    tracker.page_view({"page": "Home", "point_of_sale": "shop"}, {"theme": "dark"}, timestamp=datetime.now(UTC))
    tracker.identity({"identifiers": [{"id": "1", "provider": "CRM"}], "email": "ada@example.com"}, {"plan": "pro"})
    tracker.identify(123, {"first_name": "Ada"}, destinations=["sitecore"])
    tracker.group("g1", {"name": "Acme", "employees": 50}, destinations=["eu"])
    tracker.alias("an older ID", integrations={"All": False})
    receipt: Receipt = current_tracker().event("ADD", {"product": {"price": 12.5}})
    outcomes = await receipt.delivered(timeout=2.0)
    outcome = outcomes["sitecore"]
    tracker.point_of_sale = "shop/spain"
    tracker.reset()
    answer = await tracker.personalize({"friendly_id": "banner"}, timeout=0.5)
    return str(answer) if isinstance(outcome, Delivered) else tracker.browser_id


def tell_outside_of_requests(browser_id: str) -> int:
    try:
        tracking.for_visitor(browser_id, user_id="user_1").event("RENEWED").wait_stored()
    except ValidationError as error:
        print(error.code, error.message)
    return tracking.stats().destinations["sitecore"].delivered


def make(values: dict[str, object]) -> Tracking | None:
    try:
        return Tracking.from_mapping(values)
    except SettingsError as error:
        print(error.setting)
        return None
