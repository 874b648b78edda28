"""Small machines for calls that may fail: breaker, limiter, waiting room, retry, budget, deadline.

Each is a value or a machine with the time passed in, and knows nothing of instances, HTTP or storage. Only `waiting`
knows asyncio, and even there the clock comes from outside. The numbers they run with live in the configuration.
"""
