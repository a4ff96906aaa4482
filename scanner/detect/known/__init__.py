"""Secrets that the user gave: found again in whatever spelling or encoding they lie."""
