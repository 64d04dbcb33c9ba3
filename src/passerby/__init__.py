"""Server-side visitor tracking for Python web apps: one cookie, one thread of events, delivered."""

from .client.current import current_tracker
from .client.edge import EdgeSDK, init_cloud_sdk, init_content_sdk
from .client.engage import init_server
from .client.receipt import QueueReceipt, Receipt
from .client.sites import Sites
from .client.tracker import Tracker
from .client.tracking import Tracking
from .destinations.customerio import CustomerIO
from .destinations.datalyr import Datalyr
from .destinations.segment import Segment
from .destinations.sitecore import Sitecore
from .destinations.webhook import Webhook
from .errors import (
    BrowserIdUnavailable,
    PasserbyError,
    RemoteError,
    RemoteTimeout,
    SettingsError,
    ValidationError,
)
from .http.request import RequestInfo
from .values.outcome import Dead, Delivered, Dropped, Pending
from .values.secret import Secret

__all__ = [
    "BrowserIdUnavailable",
    "CustomerIO",
    "Datalyr",
    "Dead",
    "Delivered",
    "Dropped",
    "EdgeSDK",
    "PasserbyError",
    "Pending",
    "QueueReceipt",
    "Receipt",
    "RemoteError",
    "RemoteTimeout",
    "RequestInfo",
    "Secret",
    "Segment",
    "SettingsError",
    "Sitecore",
    "Sites",
    "Tracker",
    "Tracking",
    "ValidationError",
    "Webhook",
    "current_tracker",
    "init_cloud_sdk",
    "init_content_sdk",
    "init_server",
]
