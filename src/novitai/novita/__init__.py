"""The only code that knows Novita: its addresses, its words, its habits and its ways to fail.

`provider.py` is what the rest of the program sees, and it keeps `ports.provider.Provider`. `v1.py` and `jobs.py`
describe single calls as values, `wire.py` and `translate.py` read what comes back, `errors.py` gives refusals their
meaning, and `transport.py` makes the calls, in the one order in which they may be made.
"""
