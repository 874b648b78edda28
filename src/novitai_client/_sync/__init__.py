# Generated from src/novitai_client/_async/__init__.py
# by scripts/generate_sync_client.py: change that file, then run the script.

"""The blocking client."""
