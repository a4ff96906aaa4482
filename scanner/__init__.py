"""leakscan: proves whether credentials leaked into a container image."""

__version__ = "0.1.0"
