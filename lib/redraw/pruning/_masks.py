"""Which weights of a network are kept, and how that is made to hold exactly while it trains."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class Masks(Mapping[str, Tensor]):
    """A boolean tensor per prunable weight, keyed by parameter name; True is kept. Never changed in place.

    Raises ValueError when a mask is not boolean.
    """

    def __init__(self, masks: Mapping[str, Tensor]):
        for name, mask in masks.items():
            if mask.dtype != torch.bool:
                raise ValueError(f"masks: {name} must be a boolean tensor, got {mask.dtype}")
        self._masks = dict(masks)

    @classmethod
    def dense(cls, model: nn.Module) -> "Masks":
        """Everything kept: one mask per weight of the model's linear and convolutional layers (biases have none)."""
        weights = {
            f"{name}.weight" if name else "weight": layer.weight
            for name, layer in model.named_modules()
            if isinstance(layer, PRUNABLE)
        }
        return cls({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def __repr__(self) -> str:
        return f"Masks({self.kept:,} of {self.total:,} weights kept, {self.remaining:.2%}, {len(self)} layers)"

    @property
    def total(self) -> int:
        """Number of prunable weights."""
        return sum(mask.numel() for mask in self.values())

    @property
    def kept(self) -> int:
        """Number of weights kept."""
        return sum(int(mask.sum()) for mask in self.values())

    @property
    def remaining(self) -> float:
        """Fraction of prunable weights kept, P_m in the lottery-ticket paper."""
        return self.kept / self.total

    def survivors(self) -> dict[str, int]:
        """Weights kept, layer by layer: a zero is a layer that has collapsed."""
        return {name: int(mask.sum()) for name, mask in self.items()}

    @torch.no_grad()
    def apply(self, model: nn.Module) -> nn.Module:
        """Set the pruned weights of `model` to exactly zero, in place; returns the model."""
        parameters = dict(model.named_parameters())
        for name, mask in self.items():
            parameters[name].masked_fill_(~mask, 0.0)
        return model

    def hold(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        """Apply the masks now and after every `optimizer.step()`, to the weights and to their optimizer state.

        Both are needed: masking gradients alone lets momentum gathered earlier revive a weight, and weight decay
        moves it. Every state tensor of a weight's shape is masked, whatever the optimizer calls it.
        Returns a handle; `handle.remove()` lets go.
        """
        self.apply(model)
        parameters = dict(model.named_parameters())
        pairs = [(parameters[name], mask.to(parameters[name])) for name, mask in self.items()]

        @torch.no_grad()
        def enforce(optimizer, *_):
            values, masks = [], []
            for weight, mask in pairs:
                state = [s for s in optimizer.state[weight].values() if torch.is_tensor(s) and s.shape == weight.shape]
                values += [weight, *state]
                masks += [mask] * (1 + len(state))
            torch._foreach_mul_(values, masks)

        return optimizer.register_step_post_hook(enforce)

    def pack(self) -> dict[str, Tensor]:
        """The masks at one bit per weight, as flat uint8 tensors: what is stored."""
        return {name: _pack(mask) for name, mask in self.items()}

    @classmethod
    def unpack(cls, packed: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> "Masks":
        """The inverse of `pack`, given the weights whose shapes the masks have."""
        return cls({name: _unpack(bits, weights[name].shape) for name, bits in packed.items()})


def _pack(mask: Tensor) -> Tensor:
    bits = nn.functional.pad(mask.flatten(), (0, -mask.numel() % 8)).view(-1, 8)
    return (bits * (1 << torch.arange(8))).sum(1).to(torch.uint8)


def _unpack(bits: Tensor, shape: torch.Size) -> Tensor:
    unpacked = (bits.unsqueeze(1) >> torch.arange(8)) & 1
    return unpacked.flatten()[: shape.numel()].view(shape).bool()
