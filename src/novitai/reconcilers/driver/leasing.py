"""The times of holding work: long enough to bridge a hiccup, short enough that a dead process delays nothing for long.

All in seconds.
"""

LEASE_SECONDS = 20.0
RENEW_SECONDS = 6.0
LONGEST_SLEEP = 30.0
PAUSED_LOOK = 1.0
"""How soon a paused lane notices that it may go on."""
STORE_AWAY_PAUSE = 0.5
FAULT_PAUSE = 1.0
"""After a fault of our own in bookkeeping: it must not spin, and must not end the lane."""
