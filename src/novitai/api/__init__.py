"""HTTP inward: parse a request, call one operation, render its answer.

What a request may be is said in `schemas/`, where it leads in `routes/`, what everybody has to pass on the way (ids, keys, limits) in
`front.py` and `routing.py`. Nothing here decides about instances, and nothing here knows which store or provider is behind the ports.
"""
