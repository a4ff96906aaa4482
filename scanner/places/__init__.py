"""Where what was seen lies in an image: its surface, file, state and step, and whose file that is."""
