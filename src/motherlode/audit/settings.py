"""What an audit goes by."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Signal = Literal["engagement", "deciles", "confident", "both", "either", "joint"]


class AuditSettings(BaseModel):
    """Which labels are doubted. The paper gives the share alone; deciles are our reading of it, the rest is ours.

    Signals: `engagement` is the engagement model (`evidence`), `deciles` cuts per-query percentiles; both look at the
    labels 0 and 2 alone. `confident` is confident learning over a model's probabilities, for any label; `both` and
    `either` join it with `engagement` as sets, `joint` multiplies the two likelihoods.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    share: float = Field(0.3, gt=0, le=1, description="of the annotated pairs, drawn at random")
    seed: int = Field(0, ge=0)
    signal: Signal = "engagement"
    looks: float = Field(5.0, ge=0, description="fewest impressions, each counted by how its place is looked at")
    buckets: int = Field(3, ge=1, description="groups of queries from broad to narrow")
    precision: float = Field(0.75, gt=0, lt=1, description="share of the doubted labels expected to be wrong")
    high: float = Field(0.9, gt=0.5, lt=1, description="deciles: engagement above this is high")
    low: float = Field(0.1, gt=0, lt=0.5, description="deciles: engagement below this is low")
