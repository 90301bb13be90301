"""How a Transformers model is asked: on arrays, on texts, or by generate. The user's process
asks it likewise.

What comes back is a dictionary of tensors: the model's own, then the tokens that texts were made into.
"""

import importlib
import inspect
from typing import Any, Dict, List, Optional

from timeproof_probe.file_checks import Refused

# What generate can be told: numbers and lists of tokens. Others load code (custom_generate) or models.
GENERATION = frozenset(
    {
        *("max_new_tokens", "min_new_tokens", "max_length", "min_length", "num_beams", "use_cache"),
        *("eos_token_id", "pad_token_id", "bos_token_id", "decoder_start_token_id"),
        *("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens", "begin_suppress_tokens"),
        *("repetition_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
        *("do_sample", "language", "task", "return_timestamps"),
    }
)
_CACHES = "transformers.cache_utils"  # whatever a release calls the output that holds one


class Asker:
    """A model as torch's own loader asks one: called with tensors, it gives tensors by name.

    Args:
        module: the model, in evaluation mode.
        options: the artifact's.
        tokenizer: where there are texts.
        texts: the texts, and the second ones of pairs.
    """

    def __init__(
        self,
        module: Any,
        options: Dict[str, Any],
        tokenizer: Any = None,
        texts: Optional[List[List[str]]] = None,
    ) -> None:
        self.module = module
        self.options = options
        self.tokenizer = tokenizer
        self.texts = texts or []

    def double(self) -> "Asker":
        self.module = self.module.double()
        return self

    def __call__(self, *positional: Any, **by_name: Any) -> Dict[str, Any]:
        tokens = self._tokens()
        generate = self.options.get("generate")
        if generate is None:
            named = {**tokens, **by_name}
            answer = self.module(*positional, **named, **self._as_mapping())
        else:
            answer = self._generated(positional, {**tokens, **by_name}, generate)
        outputs: Dict[str, Any] = self._without_cache(answer)
        outputs.update(tokens)
        return outputs

    def _tokens(self) -> Dict[str, Any]:
        """Tokenise the texts: what the model's forward has a parameter for."""
        if not self.texts:
            return {}
        settings = self.options["texts"]["settings"]
        encoding = self.tokenizer(*self.texts, return_tensors="pt", **settings)
        taken = _parameters(self.module.forward)
        device = next(iter(self.module.parameters())).device
        return {name: tensor.to(device) for name, tensor in encoding.items() if name in taken}

    def _as_mapping(self) -> Dict[str, Any]:
        """Ask for the outputs by name, where the model can be asked for that."""
        parameters = inspect.signature(self.module.forward).parameters.values()
        free = any(p.kind is p.VAR_KEYWORD for p in parameters)
        return {"return_dict": True} if free or "return_dict" in _parameters(self.module.forward) else {}

    def _generated(
        self, positional: Any, by_name: Dict[str, Any], settings: Dict[str, Any]
    ) -> Dict[str, Any]:
        """Generate greedily: the sequences, and each step's scores, of shape [steps, rows, vocabulary]."""
        torch: Any = importlib.import_module("torch")
        strange = sorted(set(settings) - GENERATION)
        if strange:
            raise Refused("generate is not told {}: only what needs no code".format(", ".join(strange)))
        answer = self.module.generate(
            *positional,
            **by_name,
            **{"num_beams": 1, **settings, "do_sample": False},
            return_dict_in_generate=True,
            output_scores=True,
        )
        outputs = {"sequences": answer.sequences}
        if answer.scores:
            outputs["scores"] = torch.stack(list(answer.scores))
        return outputs

    def _without_cache(self, answer: Any) -> Dict[str, Any]:
        """Name the outputs; what only speeds up the next call is left out."""
        if isinstance(answer, tuple):
            return {"output_{}".format(k): item for k, item in enumerate(answer)}
        if not hasattr(answer, "items"):
            return {"output": answer}
        left_out = self.options["left_out"]
        return {
            name: value
            for name, value in answer.items()
            if name not in left_out and not type(value).__module__.startswith(_CACHES)
        }


def _parameters(forward: Any) -> List[str]:
    return [
        name
        for name, p in inspect.signature(forward).parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
