"""Values that do not depend on requests or events: JSON, outcomes, secrets, browser IDs, values from the app."""
