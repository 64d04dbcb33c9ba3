"""The base of the exceptions that delivery raises. Apps see none of them: what failed is tried again or asked anew."""


class DeliveryError(Exception):
    """A call was not answered, or could not be made."""
