"""What a run is: one small typed file. Unknown keys are errors; a preset is the one dial."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from motherlode.atomic import write_text
from motherlode.errors import MissingError, SettingError
from motherlode.recipe_recommend import Codes, Recommend, Sequences, Views
from motherlode.strict import Strict


class Data(Strict):
    """Which tables, and how a user's own columns and grades map onto ours."""

    source: str = Field("shop", description="a data set's name, or a folder of tables")
    root: str | None = Field(None, description="where raw data sets lie; default: MOTHERLODE_DATA")
    strict: bool = Field(True, description="refuse bad rows (false: set them aside in a rejects file)")
    columns: dict[str, str] = Field({}, description="your column name -> ours")
    grade_labels: dict[str, int] | None = Field(None, description="label -> grade 0, 1, 2")
    grade_cuts: tuple[float, float] | None = Field(None, description="from these values up: grade 1, grade 2")
    separator: str = Field(" > ", description="between the levels of a taxonomy given as text")
    items: int = Field(2_000, ge=100, description="size of the generated shop")
    users: int = Field(1_000, ge=10, description="users of the generated shop, where the journey is recommend")


class Split(Strict):
    """Shares of queries; `unseen` is the share of test queries with no pair in training."""

    validation: float = Field(0.1, gt=0, lt=1)
    test: float = Field(0.2, gt=0, lt=1)
    unseen: float = Field(0.3, ge=0, le=1)
    folds: int | None = Field(None, ge=2, description="cross-validate: hash-stable folds over queries")
    fold: int = Field(0, ge=0, description="which fold is the test")


class Text(Strict):
    levels: Literal[0, 2, 4] = Field(2, description="taxonomy levels in the item text")


class Encoder(Strict):
    base: str = Field("static", description="static, minilm, or a sentence-transformers folder or name")
    dim: int | None = Field(None, ge=8, description="width of the vectors; none keeps the backbone's")
    untied: bool = Field(False, description="a backbone of its own for each tower")
    max_tokens: int = Field(64, ge=8)


class Fit(Strict):
    """Stage 1. Learning rates and sizes are ours; the paper gives none."""

    epochs: int = Field(5, ge=1)
    steps: int | None = Field(None, ge=1, description="train so many steps, whatever the epochs")
    keep: Literal["best", "last"] = Field("best", description="the weights validation likes best, or the last ones")
    groups: int = Field(128, ge=1, description="graded groups a step")
    lr: float = Field(3e-3, gt=0, description="learning rate of the backbone")
    head_lr: float = Field(1e-3, gt=0, description="learning rate of the heads and the temperature")
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.05, ge=0, lt=1)
    clip: float = Field(1.0, gt=0)
    patience: int = Field(3, ge=1, description="validations without a gain before stopping")
    validations_per_epoch: int = Field(1, ge=1)
    validation_items: int = Field(5_000, ge=0, description="catalogue items beside the judged ones in validation")
    loss: Literal["supcon", "circle", "triplet", "mnrl", "cosent", "graded_circle", "gcl", "roar", "lambda"] = "supcon"
    temperature: float = Field(0.05, gt=0, description="start of the learnable temperature, where the loss has one")
    gamma: float = Field(32.0, gt=0, description="scale of the circle losses")
    supcon: float = Field(0.0, ge=0, description="weight of graded SupCon beside another loss")
    reduction: Literal["sum", "mean"] = "sum"
    unrelated: Literal["none", "random", "in_batch", "both"] = Field(
        "in_batch", description="whose items join an instance as grade 0; none is the paper as printed"
    )
    random_items: int = Field(1_024, ge=0, description="random items a step, where unrelated asks for them")
    suspect_margin: float | None = Field(
        0.1, description="leave out an assumed negative that beats the best known positive by this"
    )
    grade_2: int = Field(4, ge=0, description="most items of grade 2 in a group")
    grade_1: int = Field(4, ge=0, description="most items of grade 1 in a group")
    grade_0: int = Field(8, ge=0, description="most items of grade 0 in a group")
    misspelt: float = Field(
        0.0, ge=0, le=1, description="share of queries that also train misspelt; the paper's is 0.3 to 0.5"
    )
    merge: float = Field(
        1.0, gt=0, le=1, description="share of the trained weights in what is kept, the rest being those it began with"
    )
    precision: Literal["fp32", "bf16"] = "fp32"


class Refine(Strict):
    """Rounds of mining, grading and Stage 2. k and the rule are the paper's; caps and all else are ours."""

    rounds: int = Field(2, ge=1, description="most rounds; they end when validation no longer gains")
    grader: str = Field("cross-encoder", description="who grades, as in `grade --with`")
    k: int = Field(100, ge=2, description="neighbours of each query; the paper's are 100 to 200")
    among: Literal["training", "catalogue"] = Field("training", description="items that are mined")
    verdicts: int | None = Field(None, ge=0, description="most verdicts a round; none: on every open neighbour")
    first: str = Field("mixed", description="which pairs to ask first under a budget")
    top_10: bool = Field(True, description="keep hard negatives among the ten nearest")
    grade_1: bool = Field(True, description="keep hard positives of grade 1")
    negatives: int | None = Field(10, ge=0, description="most hard negatives a query; none: all")
    positives: int | None = Field(5, ge=0, description="most hard positives a query; none: all")
    fit: Fit = Field(Fit(), description="Stage 2, from the weights of the stage before")


class Grader(Strict):
    """The cross-encoder that learns the human grades. All values are ours."""

    base: str = Field("minilm", description="minilm, a transformers folder or name, or a grader trained before")
    layers: int | None = Field(None, ge=1, description="keep the first so many layers; none keeps all")
    max_tokens: int = Field(128, ge=16, description="of query and item together")
    epochs: int = Field(3, ge=1)
    batch: int = Field(64, ge=1, description="pairs a step")
    lr: float = Field(1e-4, gt=0, description="learning rate of the backbone")
    head_lr: float = Field(1e-3, gt=0, description="learning rate of pooler and classifier")
    weight_decay: float = Field(0.01, ge=0)
    patience: int = Field(3, ge=1, description="validations without a gain before stopping")
    validations_per_epoch: int = Field(2, ge=1)
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of training; grading is always fp32")
    soft_labels: bool = Field(True, description="learn from the raters' mean where the judgements hold a rating")
    random: float = Field(0.5, ge=0, description="random items a judged pair, as grade 0; shortlists hold few such")
    rubric: str | None = Field(None, description="a rubric file; none is the one that ships with motherlode")


class LightLLM(Strict):
    """A causal language model that learns the human grades through LoRA. All values are ours."""

    base: str = Field("smollm2", description="smollm2, a transformers folder or name, or a .gguf file")
    pairs: int | None = Field(None, ge=1, description="learn from so many training pairs; none: all")
    rank: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)
    dropout: float = Field(0.0, ge=0, lt=1)
    item_tokens: int = Field(128, ge=8, description="an item's text is cut here")
    epochs: int = Field(2, ge=1)
    batch: int = Field(8, ge=1, description="pairs a step")
    lr: float = Field(1e-3, gt=0)
    patience: int = Field(3, ge=1, description="validations without a gain before stopping")
    validations_per_epoch: int = Field(2, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    gradient_checkpointing: bool = Field(False, description="less memory for more time")


class Index(Strict):
    sparse: str | None = Field(
        None, description="a third, learned sparse leg: train makes its encoder, or the folder of one; none: two legs"
    )
    sparse_terms: int | None = Field(
        None, ge=1, description="terms of a query that the third leg is asked with, the strongest; none: all it has"
    )


class Sparse(Strict):
    """The encoder of the third leg, where `index.sparse=train`. The windows are the paper's; all else is ours."""

    base: str | None = Field(None, description="what it stands on; none: encoder.base")
    steps: int = Field(200, ge=1)
    groups: int = Field(32, ge=1, description="graded groups a step")
    lr: float = Field(1e-3, gt=0, description="learning rate of the backbone")
    head_lr: float = Field(1e-3, gt=0, description="learning rate of what the sparse head adds")
    query_window: int = Field(256, ge=1, description="most terms of a query")
    item_window: int = Field(512, ge=1, description="most terms of an item")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of training and of encoding items")


class Evaluate(Strict):
    gains: Literal["linear", "exponential"] = Field("linear", description="1/0.5/0, or 2^grade - 1")
    resamples: int = Field(10_000, ge=100, description="bootstrap resamples")
    depth: int = Field(200, ge=100, description="candidates of each leg that a blend sees")


class Thresholds(Strict):
    precision: float = Field(
        0.8, gt=0, lt=1, description="of what is shown as of a grade, the share that is to be of it"
    )
    random: float = Field(1.0, ge=0, description="random items a judged pair, as grade 0; shortlists hold few such")


class Recipe(Strict):
    """A run. `Recipe.load(file, overrides)` reads one; `recipe.save(path)` writes the resolved one."""

    preset: Literal["tiny", "small", "base"] = "tiny"
    seed: int = Field(0, ge=0)
    journey: Literal["search", "recommend"] = Field("search", description="query to product, or user to product")
    data: Data = Data()
    split: Split = Split()
    text: Text = Text()
    encoder: Encoder = Encoder()
    fit: Fit = Fit()
    refine: Refine = Refine()
    grader: Grader = Grader()
    light_llm: LightLLM = LightLLM()
    index: Index = Index()
    sparse: Sparse = Sparse()
    evaluate: Evaluate = Evaluate()
    thresholds: Thresholds = Thresholds()
    sequences: Sequences = Sequences()
    views: Views = Views()
    codes: Codes = Codes()
    recommend: Recommend = Recommend()

    @classmethod
    def load(cls, path: Path | str | None = None, overrides: Sequence[str] = ()) -> "Recipe":
        """Preset, then file, then `key=value` overrides, the later winning.

        Raises:
            MissingError: the file is not there.
            SettingError: the file is no YAML mapping, or a key or a value is not known.
        """
        given: dict[str, Any] = {}
        if path is not None:
            given = _read(Path(path))
        for override in overrides:
            _set(given, override)
        preset = given.get("preset", "tiny")
        if not isinstance(preset, str) or preset not in PRESETS:
            raise SettingError(f"preset={preset} is unknown: choose {', '.join(PRESETS)}.")
        where = f"{path}: " if path else ""
        try:
            return cls.model_validate(_merge(PRESETS[preset], given))
        except ValidationError as error:
            raise SettingError(where + _explain(error)) from None

    def save(self, path: Path | str) -> None:
        """Write the resolved recipe as YAML."""
        write_text(path, yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False))


Model = TypeVar("Model", bound=BaseModel)


def read_settings(model: type[Model], overrides: Sequence[str]) -> Model:
    """Any settings from `key=value` words. Raises SettingError for a key or a value that is not known."""
    values: dict[str, Any] = {}
    for override in overrides:
        _set(values, override)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise SettingError(_explain(error, model)) from None


PRESETS: dict[str, dict[str, Any]] = {
    # a token table: trains in seconds, encodes thousands of texts a second
    "tiny": {
        "encoder": {"base": "static"},
        "refine": {"fit": {"loss": "circle", "epochs": 2, "lr": 1e-3, "head_lr": 3e-4}},
    },
    # a small transformer, wholly fine-tuned: minutes to an hour on a laptop
    "small": {
        "encoder": {"base": "minilm"},
        "fit": {"epochs": 2, "lr": 1.5e-4},
        "sparse": {"lr": 1e-4},
        "refine": {"fit": {"loss": "circle", "epochs": 1, "lr": 5e-5, "head_lr": 3e-4}},
    },
    # the paper's likely backbone, its name on the hub; wants a GPU or patience
    "base": {
        "encoder": {"base": "intfloat/multilingual-e5-small"},
        "fit": {"epochs": 3, "lr": 5e-5},
        "sparse": {"lr": 5e-5},
        "refine": {"fit": {"loss": "circle", "epochs": 1, "lr": 1.5e-5, "head_lr": 3e-4}},
    },
}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingError(f"There is no recipe at {path}: give a YAML file, or settings as key=value.")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingError(f"{path} is no readable YAML: {' '.join(str(error).split())}.") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise SettingError(f"{path} must hold a mapping of settings, such as 'preset: tiny'.")
    return value


def _set(settings: dict[str, Any], override: str) -> None:
    """Put `a.b=value` into nested settings; the value is read as YAML, so 1e-4, true and [1, 2] mean what they say."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise SettingError(f"'{override}' is no override: write it as key=value, such as fit.epochs=2.")
    *parents, last = key.strip().split(".")
    for parent in parents:
        inner = settings.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise SettingError(f"'{override}': {parent} is a single value, it has no settings inside.")
        settings = inner
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    if isinstance(value, str):
        with suppress(ValueError):  # YAML 1.1 reads 1e-4 as text
            value = float(value)
    settings[last] = value


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _explain(error: ValidationError, known: type[BaseModel] = Recipe) -> str:
    """The first thing wrong, as one sentence with the key and what is allowed."""
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        model: Any = known
        for part in first["loc"][:-1]:
            model = model.model_fields[part].annotation
        names = ", ".join(model.model_fields)
        sentence = f"{key} is no setting; known here: {names}."
    else:
        sentence = f"{key}={first['input']!r} cannot be: {first['msg'].removeprefix('Value error, ')}."
    rest = len(error.errors()) - 1
    return sentence + (f" ({rest} more)" if rest else "")
