"""Hooks: every use of undocumented parts of Prefect, SQLAlchemy or httpx, one module for each."""
