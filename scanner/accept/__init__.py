"""What the user accepts: by an entry of the settings, or by a baseline."""
