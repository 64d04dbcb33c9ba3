"""Browser IDs that a destination issues: a pool of ready ones, and how to get more."""
