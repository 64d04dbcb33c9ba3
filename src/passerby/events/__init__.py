"""Events: how they are built from a call, and what is left out of them."""
