"""Every image of a registry: what there is, what was read of it, what came of that."""
