"""What may be asked of migration for one instance: whether it is brought back when Novita takes its spot machine, and how."""

from typing import Literal

from pydantic import Field

from novitai.api.schemas.common import Body
from novitai.domain.migration import Migration, Strategy


class MigrationBody(Body):
    """What is done when Novita takes the spot machine back; what is left out is the server's setting."""

    enabled: bool | None = None
    strategy: Literal["migrate", "replace", "notify-only"] | None = Field(
        default=None,
        description="`migrate`: Novita moves it after the stop, or another is bought when Novita has no capacity for that. "
        "`replace`: another is bought on the notice. Both lose the system disk.",
    )

    def asked(self) -> Migration:
        """In the words of the domain."""
        return Migration(enabled=self.enabled, strategy=None if self.strategy is None else Strategy(self.strategy))
