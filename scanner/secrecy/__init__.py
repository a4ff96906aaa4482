"""Found values without the values: fingerprints under a key, marks to tell them by, and texts without them."""
