"""Webhooks of registries: what was pushed, in each product's own words."""
