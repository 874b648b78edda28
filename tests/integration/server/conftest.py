"""Real servers against the stand-in for Novita."""

from support.sites import forks, site

__all__ = ["forks", "site"]
