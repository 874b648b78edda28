"""Alembic's entry point: runs over the connection that it is handed in the configuration, inside the caller's transaction."""

from alembic import context

from novitai.stores.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
