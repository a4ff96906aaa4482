"""What is inside files: archives in archives, compressed streams, repositories, encoded text."""
