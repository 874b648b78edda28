"""Telling others: facts become deliveries, deliveries become signed attempts."""
