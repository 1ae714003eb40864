"""What a server takes of the protocol: found out by asking for the most and stepping down once where it declines."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

TOP_LOGPROBS = 10
LESS: dict[str, Literal["json", "plain"]] = {"schema": "json", "json": "plain"}


@dataclass(frozen=True)
class Dialect:
    """How to phrase a request.

    Attributes:
        structured: answer bound to a JSON schema, to JSON of any shape, or by the prompt alone.
        logprobs: ask for the alternatives to each token.
        limit: what the server calls the longest answer.
        system: whether it takes a message of the role "system".
    """

    structured: Literal["schema", "json", "plain"]
    logprobs: bool
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system: bool = True

    def body(self, messages: list[dict[str, str]], schema: dict[str, Any], tokens: int) -> dict[str, Any]:
        """The fields of a request: messages, form of the answer, its longest length."""
        if not self.system:
            messages = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        fields: dict[str, Any] = {"messages": messages, self.limit: tokens}
        if self.structured == "schema":
            form = {"name": "verdicts", "strict": True, "schema": schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": form}
        elif self.structured == "json":
            fields["response_format"] = {"type": "json_object"}
        if self.logprobs:
            fields |= {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        return fields

    def lesser(self, complaint: str, guess: bool) -> Dialect | None:
        """What to try after this complaint; None where nothing less is left that could mend it.

        A complaint that names a field costs that field. One that names none costs, with `guess`, the structure first,
        then the probabilities.
        """
        said = complaint.lower()
        if re.search(r"max_(completion_)?tokens", said) and self.limit == "max_tokens":
            return replace(self, limit="max_completion_tokens")
        if re.search(r"system (role|message)|role.{0,20}system", said) and self.system:
            return replace(self, system=False)
        if "logprob" in said and self.logprobs:
            return replace(self, logprobs=False)
        named = re.search(r"response_format|json_schema|json_object|schema|grammar|structured|guided", said)
        if (named or guess) and self.structured in LESS:
            return replace(self, structured=LESS[self.structured])
        if guess and self.logprobs:
            return replace(self, logprobs=False)
        return None
