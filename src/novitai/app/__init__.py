"""The composition root: settings in, a running program out. The only place that names adapters; imported by entry
points and tests alone.
"""
