"""Real servers against the stand-in for Novita."""

from support.processes import forks, site

__all__ = ["forks", "site"]
