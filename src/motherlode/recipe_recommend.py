"""The part of a recipe that the journey from users to products reads."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from motherlode.strict import Strict


class Sequences(Strict):
    """What of each user's events is learnt from and what is asked for."""

    split: Literal["last", "k_out", "time"] = Field(
        "last", description="each user's last events, k random ones where order means nothing, or two moments for all"
    )
    k: int = Field(10, ge=1, description="events of a user that k_out leaves out for test, and as many for validation")
    validation: float = Field(0.8, gt=0, lt=1, description="quantile of all times from which events are validation")
    test: float = Field(0.9, gt=0, lt=1, description="quantile of all times from which events are test")


class Views(Strict):
    """What is known of an item beside its id, brought into one space."""

    names: tuple[str, ...] | None = Field(
        None, description="text, behaviour (of training alone) or views of the features table; none: all there are"
    )
    width: int = Field(64, ge=2, description="of the one space, and of the behaviour view")
    epochs: int = Field(20, ge=1, description="of the alignment")


class Codes(Strict):
    """The cascaded codebooks. Sizes are ours; those of ESANS are not known to us."""

    primary: int | None = Field(None, ge=1, description="coarse codes; none: the power of 2 nearest to items / 100")
    secondary: int = Field(16, ge=1, description="fine codes")
    backend: Literal["kmeans", "vq"] = "kmeans"
    per_primary: bool = Field(False, description="fine codes of its own for each coarse one")
    balance: float | None = Field(
        None, ge=1, description="most items of a coarse code, as a multiple of the even share"
    )


SAMPLERS = (
    "in_batch_logq", "in_batch", "streaming", "mixed", "uniform", "uniform_shared", "popularity", "popularity_shared",
    "cross_batch", "dynamic", "adaptive", "full", "fair", "cluster", "flat_cluster", "semantic", "semantic_weights",
)  # fmt: skip


class Negatives(Strict):
    """Counts and shapes of the samplers; each reads those it has a use for."""

    n: int = Field(10, ge=1, description="negatives an example, where one number tells them")
    eta: float = Field(0.0, ge=0, le=1, description="exponent on log q of drawn negatives")
    correct_positive: bool = Field(True, description="logQ on the positive's own logit too")
    bank: int = Field(8_192, ge=1, description="vectors that cross_batch keeps")
    candidates: int = Field(32, ge=1, description="uniform candidates of dynamic and adaptive")
    top: int = Field(1, ge=1, description="of the candidates, so many best that dynamic draws among")
    easy: int = Field(6, ge=0, description="items of other primary codes")
    hard: int = Field(4, ge=0, description="items of the same primary code outside the leaf")
    cluster_temperature: float = Field(1.0, gt=0, description="of the softmax over centre distances")
    easy_by: Literal["semantic", "uniform", "popularity"] = "semantic"
    hard_by: Literal["uniform", "popularity"] = "uniform"
    leaf_mask: bool = Field(False, description="no negative shares the positive's leaf, whatever the sampler")


class Virtual(Strict):
    """Negatives that are made out of met ones, without encoding anything."""

    kind: Literal["none", "edis", "mixgcf", "mochi", "bmns"] = Field("none", description="who makes them")
    simple: int = Field(6, ge=0, description="between two negatives of a cluster")
    hard: int = Field(4, ge=0, description="between the positive and a hard negative")
    strength: float = Field(0.5, description="the lambda of edis; 0.5 as half_width is its printed range")
    reading: Literal["half_width", "coefficient", "hard_share"] = "half_width"
    renormalise: bool = Field(True, description="bring what edis makes back to unit length")
    cap: float | None = Field(None, description="largest hard coefficient; none: no cap")
    detach: Literal["positive", "none", "all"] = "positive"
    same_cluster: bool = Field(True, description="mix inside one cluster alone")
    count: int = Field(2_048, ge=1, description="what bmns makes, for the whole batch")
    omega: float = Field(1.0, ge=0, description="weight of virtual negatives in the loss")


class Recommend(Strict):
    """The user-item two-tower. All values are ours."""

    sampler: str = Field("in_batch_logq", description=f"who is a negative, several joined by +: {', '.join(SAMPLERS)}")
    negatives: Negatives = Negatives()
    virtual: Virtual = Virtual()
    width: int = Field(64, ge=1, description="of both towers' vectors")
    window: int | None = Field(
        None, ge=1, description="last events that the user tower sees; none: 200 for the mean, else 20"
    )
    pooling: Literal["mean", "attention", "gru"] = "mean"
    decay: float | None = Field(
        None,
        ge=0,
        description="of the mean: the k-th last event weighs k^-decay; none: 1 with sequences.split=last, else 0",
    )
    user_hidden: tuple[int, ...] = Field((128,), min_length=1, description="hidden layers of the user tower")
    item_hidden: tuple[int, ...] = Field((), description="hidden layers of the item tower; none: the embedding itself")
    content: bool = Field(False, description="the item tower sees the views: cold items can be recommended")
    code_sets: int = Field(
        0, ge=0, le=8, description="sets of codes that the item tower sees as labels, each twice as fine as the last"
    )
    budget: float = Field(8, gt=0, description="how long to train, in units of `unit`")
    unit: Literal["epochs", "steps", "items", "seconds"] = Field(
        "epochs", description="items: forward passes of the item tower; seconds: of processor time"
    )
    batch: int = Field(1_024, ge=1, description="examples a step")
    temperature: float = Field(0.1, gt=0, description="divides the cosines")
    lr: float = Field(1e-3, gt=0, description="learning rate of the layers")
    item_lr: float = Field(0.03, gt=0, description="learning rate of the item table")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    patience: int = Field(3, ge=1, description="validations, one an epoch, without a gain before stopping")
    watch: Literal["recall@50", "recall@200", "ndcg@50"] = Field("recall@50", description="decides on the best weights")
    baselines: tuple[Literal["popularity", "item_knn", "als", "rg2"], ...] | None = Field(
        None, description="measured beside it; none: all that can run here"
    )

    @field_validator("sampler")
    @classmethod
    def _known(cls, value: str) -> str:
        for name in value.split("+"):
            if name not in SAMPLERS:
                raise ValueError(f"there is no sampler '{name}', choose among {', '.join(SAMPLERS)}")
        return value

    @model_validator(mode="after")
    def _decays(self) -> Self:
        if self.decay and self.pooling != "mean":
            raise ValueError(f"decay weighs the events of a mean, leave it out with pooling={self.pooling}")
        return self
