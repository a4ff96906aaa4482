"""Where results of audits live: SQLite by default, whatever SQLAlchemy's URL names."""
