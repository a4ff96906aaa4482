"""A report's claims, checked against an image, and beside what a scan says of it now."""
