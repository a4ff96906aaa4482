"""The service: answers for images from the store, and has scanned what it does not know."""
