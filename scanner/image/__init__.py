"""Opening images: from a reference to blobs that can be read, whatever holds them."""
