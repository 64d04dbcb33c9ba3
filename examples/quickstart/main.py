"""The first example of the README: one page, one cookie, one event."""

from fastapi import FastAPI, Request

from passerby import Sitecore, Tracking
from passerby.asgi import TrackingMiddleware

sitecore = Sitecore(client_key="demo", target_url="http://localhost:8600", point_of_sale="shop")
app = FastAPI()
app.add_middleware(TrackingMiddleware, tracking=Tracking(sitecore, secret_key="a long random text"))


@app.get("/")
async def home(request: Request) -> dict[str, str | None]:
    request.state.tracker.page_view({"channel": "WEB", "currency": "EUR"})
    return {"visitor": request.state.tracker.browser_id}
