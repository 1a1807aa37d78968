"""A small decoder-only transformer for sequences of symbols."""

from math import log, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import skip_init


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); x (B, T, width). Attention is causal, the MLP 4 x wide."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.before_attention = skip_init(nn.LayerNorm, width, bias=False)
        self.attend = skip_init(nn.Linear, width, 3 * width, bias=False)
        self.attended = skip_init(nn.Linear, width, width, bias=False)
        self.before_mlp = skip_init(nn.LayerNorm, width, bias=False)
        self.widen = skip_init(nn.Linear, width, 4 * width, bias=False)
        self.narrow = skip_init(nn.Linear, 4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        B, T, width = x.shape
        each = self.attend(self.before_attention(x)).view(B, T, 3, self.heads, width // self.heads)
        q, k, v = each.permute(2, 0, 3, 1, 4)  # (B, heads, T, width / heads)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attended(mixed.transpose(1, 2).reshape(B, T, width))
        return x + self.narrow(F.gelu(self.widen(self.before_mlp(x))))


class Transformer(nn.Module):
    """See `transformer`."""

    def __init__(self, symbols: int, width: int, layers: int, heads: int, context: int):
        super().__init__()
        self.context = context
        self.embed = skip_init(nn.Embedding, symbols, width)
        self.register_buffer("positions", _positions(context, width), persistent=False)
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])
        self.norm = skip_init(nn.LayerNorm, width, bias=False)
        self.predict = skip_init(nn.Linear, width, symbols, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, T) int64 -> logits (B, T, symbols): at t of the symbol at t + 1, from those up to t."""
        if tokens.shape[1] > self.context:
            raise ValueError(f"tokens: must be at most {self.context} in a row, got {tokens.shape[1]}")
        x = self.embed(tokens) + self.positions[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.predict(self.norm(x))


def transformer(symbols: int, *, width: int, layers: int, heads: int, context: int) -> Transformer:
    """Decoder-only transformer: tokens (B, T) int64, T up to `context` -> logits (B, T, symbols).

    Token embeddings plus sinusoidal positions (Vaswani et al. 2017, arXiv 1706.03762, section 3.5), `layers` pre-norm
    blocks (Xiong et al. 2020, arXiv 2002.04745) of causal attention with `heads` heads and a GELU MLP of 4 `width`, a
    last LayerNorm, an output matrix of its own. No biases, no dropout.

    Parameters are left unset: initialize them with `initialize_transformer`. Raises ValueError for sizes below 1, or a
    width that is odd or that the heads do not divide.
    """
    sizes = {"symbols": symbols, "width": width, "layers": layers, "heads": heads, "context": context}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name}: must be at least 1, got {size}")
    if width % 2 or width % heads:
        raise ValueError(f"width: must be even and a multiple of the {heads} heads, got {width}")
    return Transformer(symbols, width, layers, heads, context)


@torch.no_grad()
def initialize_transformer(model: Transformer, generator: torch.Generator) -> Transformer:
    """Draw the weights in place and return the model: embeddings from N(0, 1), matrices from N(0, 1 / fan_in), those
    that write into the residual stream divided by sqrt(2 layers) (Radford et al. 2019, section 2.3); gains are 1."""
    writes = sqrt(2 * len(model.blocks))
    model.embed.weight.normal_(generator=generator)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):
            deviation = 1 / sqrt(layer.in_features)
            if name.endswith(("attended", "narrow")):
                deviation /= writes
            layer.weight.normal_(0, deviation, generator=generator)
        elif isinstance(layer, nn.LayerNorm):
            layer.weight.fill_(1)
    return model


def count_parameters(model: Transformer) -> int:
    """N, the parameters without vocabulary: all but the embeddings and the output matrix,
    layers (12 width^2 + 2 width) + width."""
    vocabulary = model.embed.weight.numel() + model.predict.weight.numel()
    return sum(parameter.numel() for parameter in model.parameters()) - vocabulary


def _positions(context: int, width: int) -> Tensor:
    """(context, width): sin and cos of t / 10000^(2 i / width), i = 0 .. width / 2 - 1."""
    rates = torch.exp(torch.arange(0, width, 2) * (-log(10_000) / width))
    angles = torch.arange(context)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
