"""Images straight from a registry, by the OCI distribution-spec."""
