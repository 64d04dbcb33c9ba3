"""Values that know nothing of requests and events: JSON, outcomes, secrets, browser IDs, what an app hands over."""
