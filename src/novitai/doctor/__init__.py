"""`novitai doctor`: is this installation sound, and is Novita as we take it to be?

A composition root beside `app`: it may name adapters, and nothing imports it but the command line. `ground.py`,
`reach.py` and `outward.py` look without changing anything; `live.py` rents one machine for a few minutes and finds out
what no document says. What it found is kept by `findings.py`; `facts.py` tells what rests on each fact.
"""
