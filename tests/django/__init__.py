"""The Django face, with the real Django."""

import tests.django_site  # noqa: F401 - sets Django up
