"""Lists of installed packages: which files they name, with which digests, and where packages came from."""
