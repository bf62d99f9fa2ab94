"""Every use of what Prefect, SQLAlchemy or httpx do not promise."""
