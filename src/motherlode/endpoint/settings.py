"""Where a judge lives, how it is asked, how fast, and what it may cost."""

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from motherlode.errors import SettingError

OWN = {"model", "messages", "response_format", "logprobs", "top_logprobs", "temperature", "stream", "n"}


class EndpointSettings(BaseModel):
    """A model behind `{url}/chat/completions`. The key is named here, never held: it stays in the environment.

    Wrong values raise pydantic's ValidationError, which does not show them; `read` makes one sentence of it.
    """

    # what was given may be a key put in the wrong place: no error may repeat it
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    url: str = Field("https://api.openai.com/v1", description="up to and without /chat/completions")
    model: str = Field(min_length=1, description="as the server names it")
    name: str | None = Field(None, description="the judge's name in the ledger; default: the model")
    key_env: str = Field(
        "OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="environment variable that holds the key"
    )

    temperature: float | None = Field(
        0.0, ge=0, description="none: not sent, for models that take no other than theirs"
    )
    reasons: bool = Field(True, description="ask for a short reason and the rule it rests on, before each grade")
    structured: Literal["schema", "json", "plain"] = Field(
        "schema", description="what to ask of the server first; less where it does not take it"
    )
    logprobs: bool = Field(True, description="read probabilities from the grade's token where the server gives them")
    extra: dict[str, JsonValue] = Field({}, description="more fields of each request, such as reasoning_effort")

    pairs_per_request: int = Field(10, ge=1, le=100)
    answer_tokens: int | None = Field(
        None, ge=8, description="most a pair's verdict may take; default 160, 32 without reasons"
    )
    concurrency: int = Field(8, ge=1, le=1_000, description="requests under way at once")
    requests_per_minute: float | None = Field(None, gt=0)
    tokens_per_minute: float | None = Field(None, gt=0, description="prompt and the longest answer that may come")
    timeout: float = Field(120.0, gt=0, description="seconds for one request, from sending to its last byte")
    patience: float = Field(600.0, ge=0, description="seconds without any answer after which the job stops")
    backoff: float = Field(0.5, gt=0, description="seconds before the first new try; doubles, up to 30")

    input_price: float = Field(0.0, ge=0, description="money for a million tokens of prompt; 0: not counted")
    output_price: float = Field(0.0, ge=0, description="money for a million tokens of answer")
    budget_tokens: int | None = Field(None, ge=1, description="tokens, both ways, this process may spend on it")
    budget_money: float | None = Field(None, gt=0, description="money it may spend, in the currency of the prices")

    @field_validator("url")
    @classmethod
    def _is_plain(cls, url: str) -> str:
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give an address such as http://localhost:8000/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("leave user names, keys and ?... out of it: the key belongs in an environment variable")
        return url.strip().rstrip("/").removesuffix("/chat/completions")

    @field_validator("extra")
    @classmethod
    def _is_extra(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := OWN & set(extra):
            raise ValueError(f"{min(taken)} has its own setting or is not yours to set")
        return extra

    @field_validator("budget_money")
    @classmethod
    def _has_prices(cls, money: float | None, info: Any) -> float | None:
        if money is not None and not (info.data.get("input_price") or info.data.get("output_price")):
            raise ValueError("a budget in money needs input_price and output_price, per million tokens")
        return money

    def request_tokens(self, pairs: int) -> int:
        """Most tokens the answer to a request for so many pairs may take."""
        return 64 + pairs * (self.answer_tokens or (160 if self.reasons else 32))

    @classmethod
    def read(cls, values: Mapping[str, Any], where: str = "endpoint") -> "EndpointSettings":
        """Settings from a mapping. Raises SettingError with one sentence that never repeats a value."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False, include_context=False)
        if any(one["type"] == "extra_forbidden" for one in errors):
            # unnamed, because even the name may be a key pasted in the wrong place
            raise SettingError(f"{where} has a setting that is not known; known here: {', '.join(cls.model_fields)}.")
        first = errors[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingError(f"{where}.{key} cannot be: {first['msg'].removeprefix('Value error, ')}.")
