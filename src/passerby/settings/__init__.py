"""The settings of an app, and how they are read from the environment."""
