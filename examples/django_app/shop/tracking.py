"""What passerby asks the shop; see PASSERBY in the settings."""

from __future__ import annotations

from django.contrib.auth.models import User


def traits_of(user: User) -> dict[str, str]:
    """The traits of a user who logs in."""
    return {"first_name": user.get_username()}
