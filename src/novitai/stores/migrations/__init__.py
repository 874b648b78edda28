"""The alembic migrations of the SQL engines: run by upgrade.py for stores that an older version made. schema.py is what they lead to."""
