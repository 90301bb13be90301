"""Transformers of the usual families, built from their configurations; small, and with new weights."""

from __future__ import annotations

import vision_ops  # noqa: F401 - transformers imports torchvision

# isort: split
import torch
import transformers
from torch import nn


class Configured(nn.Module):
    """`transformers.KIND`, built from a configuration of plain values; `forward` takes what it takes.

    `settings` are the configuration's; `config` is its class, where it isn't the model's own.
    """

    def __init__(self, kind: str, settings: dict[str, object]) -> None:
        super().__init__()
        made = getattr(transformers, kind)
        self.net = made(made.config_class(**settings))

    def forward(self, **batch: torch.Tensor) -> object:
        return self.net(**batch, return_dict=True)


class Classifier(nn.Module):
    """BERT with named arguments, in another order than its tokenizer gives them."""

    def __init__(self, layers: int, width: int, labels: int) -> None:
        super().__init__()
        config = transformers.BertConfig(
            vocab_size=200,
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=4,
            intermediate_size=2 * width,
            max_position_embeddings=64,
            num_labels=labels,
        )
        self.bert = transformers.BertForSequenceClassification(config)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        return self.bert(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits


class Sentence(nn.Module):
    """A DistilBERT, pooled over what the mask leaves, and of length 1: a sentence's embedding."""

    def __init__(self, width: int) -> None:
        super().__init__()
        config = transformers.DistilBertConfig(
            vocab_size=200, dim=width, n_layers=2, n_heads=4, hidden_dim=2 * width, max_position_embeddings=64
        )
        self.body = transformers.DistilBertModel(config)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states = self.body(input_ids, attention_mask=attention_mask).last_hidden_state
        weights = attention_mask[..., None].to(states.dtype)
        pooled = (states * weights).sum(1) / weights.sum(1)
        return nn.functional.normalize(pooled, dim=-1)


class TinyGpt(transformers.GPT2LMHeadModel):
    """A subclass of the library's own class that builds the configuration itself; the cache comes along."""

    def __init__(self, layers: int, width: int) -> None:
        super().__init__(
            transformers.GPT2Config(
                vocab_size=200,
                n_positions=64,
                n_embd=width,
                n_layer=layers,
                n_head=4,
                bos_token_id=1,
                eos_token_id=2,
            )
        )


class Whisper(nn.Module):
    """Sound and the words so far in, the next word's scores out."""

    def __init__(self, width: int) -> None:
        super().__init__()
        config = transformers.WhisperConfig(
            vocab_size=300,
            num_mel_bins=20,
            d_model=width,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=2 * width,
            decoder_ffn_dim=2 * width,
            max_source_positions=50,
            max_target_positions=32,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
        self.net = transformers.WhisperForConditionalGeneration(config)

    def forward(self, decoder_input_ids: torch.Tensor, input_features: torch.Tensor) -> torch.Tensor:
        return self.net(input_features, decoder_input_ids=decoder_input_ids, use_cache=False).logits
