"""For Django, which looks for template tags here."""
