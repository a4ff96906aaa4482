"""One layer: from stored bytes to plain bytes to members."""
