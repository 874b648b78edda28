"""A stand-in for Novita over HTTP: a pure world driven by a passed-in time, and a server over it.

The world (`world`, `actions`, `spot`, `billing`, …) knows neither clock nor network; `http`, `apps` and `server` put it on
sockets. Nothing here is shared with a client of Novita, so a mistake of theirs cannot hide behind the same mistake of ours.
"""
