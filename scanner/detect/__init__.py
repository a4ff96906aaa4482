"""Detectors: one first pass over every byte, then a confirm in a bounded window."""
