"""What passerby raises.

* PasserbyError
  * SettingsError          a setting is missing, wrong, or does not fit another one
  * ValidationError        a tracking call was given what no destination could take
  * BrowserIdUnavailable   no browser ID could be had in time (IE-0004)
  * RemoteTimeout          an awaited answer did not come in time (IE-0003)
  * RemoteError            an awaited answer was a refusal

A message says what was found, what was expected and what to do. It never contains a key, a cookie or a visitor's data.
"""

from collections.abc import Callable


class PasserbyError(Exception):
    """Root of all errors raised by passerby.

    Attributes:
        message: the words without the code.
        code: the vendor's code for this case, such as ``"IV-0005"``, or None where the case is passerby's own.
    """

    def __init__(self, message: str, code: str | None = None) -> None:
        self.message = message
        self.code = code
        super().__init__(f"[{code}] {message}" if code else message)


class SettingsError(PasserbyError):
    """A setting is missing, wrong, or does not fit another one. Raised at start, never in a request.

    Attributes:
        setting: the setting's name, such as ``"cookie_path"`` or ``"sitecore.client_key"``; None where it is about none
            in particular.
    """

    def __init__(self, message: str, code: str | None = None, setting: str | None = None) -> None:
        self.setting = setting
        self._words = f"[{code}] {message}" if code else message
        # The vendor's words, which have a code, name the setting themselves.
        super().__init__(f"{setting}: {message}" if setting and not code else message, code)

    def spelled(self, spelling: Callable[[str], str]) -> "SettingsError":
        """Return the same error, naming the setting as its author wrote it.

        Args:
            spelling: makes out of a setting's name what stands in the author's source.
        """
        if self.setting is None:
            return self
        again = SettingsError(self.message, self.code, spelling(self.setting))
        again._words = self._words
        again.args = (f"{again.setting}: {self._words}",)
        return again


class ValidationError(PasserbyError):
    """A tracking call was given something that cannot be sent. Nothing of the call was stored."""


class BrowserIdUnavailable(PasserbyError):
    """No browser ID could be had: the service did not answer with a usable one, or its breaker is open."""

    def __init__(self) -> None:
        super().__init__(
            "Unable to set the cookie because the browser ID could not be retrieved from the server. "
            "Try again later, or use try-catch blocks to handle this error.",
            code="IE-0004",
        )


class RemoteTimeout(PasserbyError):
    """An answer that the caller awaits did not come within the given time."""

    def __init__(self) -> None:
        super().__init__("Timeout exceeded. The server did not respond within the allotted time.", code="IE-0003")


class RemoteError(PasserbyError):
    """The service refused what the caller awaits, or could not be reached."""
