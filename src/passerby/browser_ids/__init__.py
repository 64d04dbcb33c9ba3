"""Browser IDs issued by a destination: a pool of ready IDs, and the code that fetches more."""
