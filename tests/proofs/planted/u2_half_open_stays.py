"""A breaker whose failed probe does not open it again: it goes on probing a Novita that is still away."""

from novitai.resilience.breaker import Breaker, Phase


class HalfOpenStays(Breaker):
    """In place of Breaker."""

    def _failed(self, now: float) -> None:
        if self.state is not Phase.HALF_OPEN:
            super()._failed(now)
