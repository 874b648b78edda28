"""Everything Novitai asks of the world, as protocols: the store, coordination, the provider, probes, and time with
chance and identity.

Reading this folder is knowing all that the program needs from outside; nothing above it names an adapter.
"""
