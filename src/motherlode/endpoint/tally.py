"""What an endpoint was asked and what it cost, counted as it happens."""

from dataclasses import dataclass

FIRST_GUESS = 0.4  # tokens a byte before the first answer: English has 0.25, so it errs upwards


@dataclass
class Tally:
    """Running sums over the life of a judge.

    Attributes:
        requests: that got a reply with an answer in it.
        failures: tries that got none (refused, timed out, broken, told to wait).
        repairs: requests sent again for pairs whose answer was unusable.
        pairs: handed over; answered: of these, with a verdict.
        tokens_in, tokens_out: as the server counts them, or estimated where it does not (`estimated` then says so).
        money: for these tokens at the prices given.
        seconds: spent in requests that were answered, summed over those under way at once.
    """

    requests: int = 0
    failures: int = 0
    repairs: int = 0
    pairs: int = 0
    answered: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    money: float = 0.0
    seconds: float = 0.0
    estimated: bool = False
    counted_bytes: int = 0
    counted_tokens: int = 0

    def estimate(self, size: int) -> int:
        """Tokens in `size` bytes of prompt, by what the server has counted so far."""
        rate = self.counted_tokens / self.counted_bytes if self.counted_bytes else FIRST_GUESS
        return int(size * rate) + 1

    def learn(self, size: int, tokens: int) -> None:
        """The server counted this many tokens in a prompt of this many bytes."""
        self.counted_bytes += size
        self.counted_tokens += tokens
