"""The client for asyncio, written by hand; `_sync` is generated from it by `scripts/generate_sync_client.py`."""
