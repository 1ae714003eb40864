"""Settings that know their keys: an unknown one is an error, and nothing changes after reading."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
