"""The scenarios, one module for each kind of misfortune. A scenario gives one finding after another."""
