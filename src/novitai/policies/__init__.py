"""What we decide, given the facts and the time: pure functions over domain values."""
