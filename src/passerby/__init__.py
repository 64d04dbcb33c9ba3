"""Server-side visitor tracking for Python web apps: one cookie, one thread of events, delivered."""

from .current import current_tracker
from .destinations.customerio import CustomerIO
from .destinations.datalyr import Datalyr
from .destinations.segment import Segment
from .destinations.sitecore import Sitecore
from .destinations.webhook import Webhook
from .engage import init_server
from .errors import (
    BrowserIdUnavailable,
    PasserbyError,
    RemoteError,
    RemoteTimeout,
    SettingsError,
    ValidationError,
)
from .outcome import Dead, Delivered, Dropped, Pending
from .receipt import Receipt
from .request import RequestInfo
from .secret import Secret
from .sites import Sites
from .tracker import Tracker
from .tracking import Tracking

__all__ = [
    "BrowserIdUnavailable",
    "CustomerIO",
    "Datalyr",
    "Dead",
    "Delivered",
    "Dropped",
    "PasserbyError",
    "Pending",
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
    "init_server",
]
