"""A local stand-in for Sitecore CDP, Customer.io and Datalyr, for development and tests."""

from .collected_request import CollectedRequest as CollectedRequest
from .database import StoreError as StoreError
from .faults import ScriptedResponse as ScriptedResponse
from .outbox_health import DestinationHealth as DestinationHealth
from .outbox_health import OutboxHealth as OutboxHealth
from .outbox_health import health_of as health_of
from .people import People as People
from .people import Person as Person
from .people import TimelineEntry as TimelineEntry
from .server import CollectorServer as CollectorServer
