"""The tests of leakscan and their harness."""
