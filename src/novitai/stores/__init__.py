"""Engines of the store port (ports/store.py): the promises are there, the definition is tests/contract/stores.

`sqlite.py` opens the file engine (or one in memory). Everything that reads and writes tables is made of plain functions over a connection
(`commits`, `queries`, `jobs`, `leases`, `retention`) and of one text of SQL (`statements`) meant for SQLite and PostgreSQL alike.
"""
