"""Results of earlier scans in files of the user's cache directory."""
