"""Keepers of the coordination port (ports/coordination.py): what replicas share but correctness does not rest on.

`local.py` keeps it in this process and stands behind every shared keeper as its fallback.
"""
