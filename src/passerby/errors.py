"""What passerby raises.

* PasserbyError
  * SettingsError          a setting is missing, wrong, or does not fit another one
  * ValidationError        a tracking call was given what no destination could take
  * BrowserIdUnavailable   no browser ID was available in time (IE-0004)
  * RemoteTimeout          a response did not arrive in time (IE-0003)
  * RemoteError            a service refused a request

A message says what was found, what was expected and what to do. It never contains a key, a cookie or a visitor's data.
"""

from collections.abc import Callable


class PasserbyError(Exception):
    """Root of all errors raised by passerby.

    Attributes:
        message: the message without the code.
        code: the vendor's code for this case, such as ``"IV-0005"``, or None if the vendor has none.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        self.message = message
        self.code = code
        super().__init__(f"[{code}] {message}" if code else message)


class SettingsError(PasserbyError):
    """A setting is missing, wrong, or does not fit another one. Raised at start, never in a request.

    Attributes:
        setting: the setting's name, such as ``"cookie_path"`` or ``"sitecore.client_key"``, or None.
    """

    def __init__(self, message: str, code: str | None = None, setting: str | None = None) -> None:
        self.setting = setting
        self._words = f"[{code}] {message}" if code else message
        # The vendor's messages, which have a code, contain the setting's name.
        super().__init__(f"{setting}: {message}" if setting and not code else message, code)

    def spelled(self, spelling: Callable[[str], str]) -> "SettingsError":
        """Return the same error with the setting's name as written in the app's configuration.

        Args:
            spelling: converts a setting's name to the form used there.
        """
        if self.setting is None:
            return self
        again = SettingsError(self.message, self.code, spelling(self.setting))
        again._words = self._words
        again.args = (f"{again.setting}: {self._words}",)
        return again


class ValidationError(PasserbyError):
    """A tracking call got data that cannot be sent. Nothing of the call was stored."""


class BrowserIdUnavailable(PasserbyError):
    """No browser ID is available: the service returned no usable one, or its breaker is open."""

    def __init__(
        self,
        message: str = "Unable to set the cookie because the browser ID could not be retrieved from the server. "
        "Try again later, or use try-catch blocks to handle this error.",
        code: str = "IE-0004",
    ) -> None:
        super().__init__(message, code)


class RemoteTimeout(PasserbyError):
    """A response did not arrive within the given time."""

    def __init__(self, code: str = "IE-0003") -> None:
        super().__init__("Timeout exceeded. The server did not respond within the allotted time.", code)


class RemoteError(PasserbyError):
    """The service refused a request, or could not be reached."""
