"""A budget in tokens and money that is never overdrawn by more than what one estimate errs."""

from dataclasses import dataclass

from motherlode.endpoint.settings import EndpointSettings

MILLION = 1_000_000


@dataclass(frozen=True)
class Reservation:
    """Set aside for one request before it is sent."""

    tokens_in: int
    tokens_out: int
    money: float


class Budget:
    """What may be spent, what is spent, and what is set aside for requests under way.

    A request goes out only when spent + reserved + its own estimate is within the budget; its estimate counts the
    longest answer it may get. So the sum never passes the limit by more than the estimates of prompts err.
    """

    def __init__(self, settings: EndpointSettings) -> None:
        self.settings = settings
        self.tokens = 0
        self.money = 0.0
        self._reserved_tokens = 0
        self._reserved_money = 0.0

    def price(self, tokens_in: int, tokens_out: int) -> float:
        """Money for these tokens."""
        return (tokens_in * self.settings.input_price + tokens_out * self.settings.output_price) / MILLION

    def reserve(self, tokens_in: int, tokens_out: int) -> Reservation | None:
        """Set this much aside; None where the budget has not enough left."""
        wanted = Reservation(tokens_in, tokens_out, self.price(tokens_in, tokens_out))
        tokens = self.tokens + self._reserved_tokens + tokens_in + tokens_out
        money = self.money + self._reserved_money + wanted.money
        if self.settings.budget_tokens is not None and tokens > self.settings.budget_tokens:
            return None
        if self.settings.budget_money is not None and money > self.settings.budget_money:
            return None
        self._reserved_tokens += tokens_in + tokens_out
        self._reserved_money += wanted.money
        return wanted

    def settle(self, reservation: Reservation, tokens_in: int, tokens_out: int) -> float:
        """Put what was really used in the place of what was set aside; the money it cost."""
        self._reserved_tokens -= reservation.tokens_in + reservation.tokens_out
        self._reserved_money -= reservation.money
        money = self.price(tokens_in, tokens_out)
        self.tokens += tokens_in + tokens_out
        self.money += money
        return money

    def spent(self) -> str:
        """For people: what is spent of what."""
        settings, parts = self.settings, []
        if settings.budget_money is not None:
            parts.append(f"{self.money:,.4f} of {settings.budget_money:,.4f} in money")
        if settings.budget_tokens is not None:
            parts.append(f"{self.tokens:,} of {settings.budget_tokens:,} tokens")
        return " and ".join(parts) or f"{self.tokens:,} tokens"
