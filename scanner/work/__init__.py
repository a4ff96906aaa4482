"""Processes: readers walk layers, matchers look at pieces, the coordinator keeps them busy."""
