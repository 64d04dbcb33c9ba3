"""A local stand-in for Sitecore CDP, Customer.io and Datalyr, for development and tests."""

from .database import StoreError as StoreError
from .outbox_health import DestinationHealth as DestinationHealth
from .outbox_health import OutboxHealth as OutboxHealth
from .outbox_health import health_of as health_of
from .people import Entry as Entry
from .people import People as People
from .people import Person as Person
from .received import Received as Received
from .scripted import Scripted as Scripted
from .server import CollectorServer as CollectorServer
