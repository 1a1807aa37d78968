"""Which weights of a network are kept, and how that is made to hold exactly while it trains."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes per number


class Masks(Mapping[str, Tensor]):
    """A boolean tensor per prunable weight, keyed by parameter name; True is kept. Never changed in place.

    Two are equal when they keep the same weights under the same names, on whatever devices.
    Raises ValueError when there is no mask or one is not boolean.
    """

    def __init__(self, masks: Mapping[str, Tensor]):
        if not masks:
            raise ValueError("masks: must be at least one")
        for name, mask in masks.items():
            if mask.dtype != torch.bool:
                raise ValueError(f"masks: {name} must be a boolean tensor, got {mask.dtype}")
        self._masks = dict(masks)

    @classmethod
    def dense(cls, model: nn.Module) -> "Masks":
        """Everything kept: one mask per weight of the model's linear and convolutional layers (biases have none).

        A weight that layers share has one mask, under the first of its names, as in `model.named_parameters()`.
        Raises ValueError when there is no such layer, or one whose weight is not a parameter but computed from others.
        """
        layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, PRUNABLE)}
        if not layers:
            raise ValueError(f"model: must have a linear or convolutional layer, {type(model).__name__} has none")
        parameters = {id(parameter) for parameter in model.parameters()}
        if computed := [name for name, layer in layers.items() if id(layer.weight) not in parameters]:
            raise ValueError(f"layer {computed[0]!r}: its weight must be a parameter, and is computed from others")
        weights = {id(layer.weight) for layer in layers.values()}
        named = {name: parameter for name, parameter in model.named_parameters() if id(parameter) in weights}
        return cls({name: torch.ones_like(weight, dtype=torch.bool) for name, weight in named.items()})

    def __getitem__(self, name: str) -> Tensor:
        return self._masks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)

    def __repr__(self) -> str:
        return f"Masks({self.kept:,} of {self.total:,} weights kept, {self.remaining:.2%}, {len(self)} layers)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Masks):
            return NotImplemented
        return self.keys() == other.keys() and all(torch.equal(m.cpu(), other[name].cpu()) for name, m in self.items())

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
            parameters[name].masked_fill_(~mask.to(parameters[name].device), 0.0)
        return model

    def hold(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        """Apply the masks now and after every `optimizer.step()`, to the weights and to their optimizer state.

        Both are needed: masking gradients alone lets momentum gathered earlier revive a weight, and weight decay
        moves it. Every state tensor of a weight's shape is masked, whatever the optimizer calls it. What is pruned is
        zero after the step even if its gradient was infinite or not a number. Gradients are left alone.
        Returns a handle; `handle.remove()` lets go.
        """
        self.apply(model)
        parameters = dict(model.named_parameters())
        held = [(parameters[name], _Bits(mask.to(parameters[name].device))) for name, mask in self.items()]

        @torch.no_grad()
        def enforce(optimizer, *_):
            for weight, bits in held:
                state = optimizer.state.get(weight, {})  # of a weight that is not the optimizer's there is none
                values = [s for s in state.values() if torch.is_tensor(s) and s.shape == weight.shape]
                for value in (weight, *values):
                    kept = bits[value.element_size()]
                    value.view(kept.dtype).bitwise_and_(kept)

        return optimizer.register_step_post_hook(enforce)

    def pack(self) -> dict[str, Tensor]:
        """The masks at one bit per weight, as flat uint8 tensors: what is stored."""
        return {name: _pack(mask) for name, mask in self.items()}

    @classmethod
    def unpack(cls, packed: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> "Masks":
        """The inverse of `pack`, given the weights whose shapes and devices the masks have."""
        return cls({name: _unpack(bits.to(weights[name].device), weights[name].shape) for name, bits in packed.items()})


class _Bits(dict):
    """A mask as integers of 1, 2, 4 or 8 bytes, made when asked for: all bits set where it keeps, none elsewhere.

    And-ing them to the numbers' own bits is as fast as multiplying by zeros and ones (filling by a boolean mask takes
    twenty times as long), and gives zero for infinities and not-a-numbers too.
    """

    def __init__(self, mask: Tensor):
        self.mask = mask

    def __missing__(self, size: int) -> Tensor:
        self[size] = -self.mask.to(INTEGERS[size])
        return self[size]


def _pack(mask: Tensor) -> Tensor:
    bits = nn.functional.pad(mask.flatten(), (0, -mask.numel() % 8)).view(-1, 8)
    return (bits * (1 << torch.arange(8, device=bits.device))).sum(1).to(torch.uint8)


def _unpack(bits: Tensor, shape: torch.Size) -> Tensor:
    unpacked = (bits.unsqueeze(1) >> torch.arange(8, device=bits.device)) & 1
    return unpacked.flatten()[: shape.numel()].view(shape).bool()
