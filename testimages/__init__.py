"""Images with planted credentials: one folder a case, built by a real engine."""
