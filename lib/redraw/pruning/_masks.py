"""Which weights of a network are kept, and how that is made to hold exactly while it trains."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

PRUNABLE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
ELEMENTWISE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop, torch.optim.Adagrad)
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

    def hold(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> "Hold":
        """Keep the pruned weights and their optimizer state at exactly zero, now and after every `optimizer.step()`.

        Masking gradients alone does not do it: momentum gathered earlier revives a weight, an update may mix weights,
        and a closure computes gradients within the step. So as a step begins the gradients of pruned weights are set
        to zero (who wants them reads them before), and after it the weights and each tensor of the optimizer's state
        that has a weight's shape, whatever it is called. What must still be zero is not masked again: torch's own
        `ELEMENTWISE` optimizers take zero weight, gradient and state to zero, so with them only what was written from
        outside or is met for the first time is. Infinite gradients of pruned weights do no harm.
        Returns a handle; `handle.remove()` lets go.
        """
        self.apply(model)
        parameters = dict(model.named_parameters())
        held = [_Held(parameters[name], mask) for name, mask in self.items()]

        @torch.no_grad()
        def before(optimizer, arguments, named):
            for one in held:
                one.before_step(optimizer)

        @torch.no_grad()
        def after(optimizer, arguments, named):
            closure = any(callable(argument) for argument in (*arguments, *named.values()))
            for one in held:
                one.after_step(optimizer, trusted=type(optimizer) in ELEMENTWISE and not closure)

        return Hold(optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after))

    def pack(self) -> dict[str, Tensor]:
        """The masks at one bit per weight, as flat uint8 tensors: what is stored."""
        return {name: _pack(mask) for name, mask in self.items()}

    @classmethod
    def unpack(cls, packed: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> "Masks":
        """The inverse of `pack`, given the weights whose shapes and devices the masks have."""
        return cls({name: _unpack(bits.to(weights[name].device), weights[name].shape) for name, bits in packed.items()})


class Hold:
    """What holds masks on an optimizer; `remove` lets go."""

    def __init__(self, *hooks: RemovableHandle):
        self._hooks = hooks

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


class _Held:
    """A weight, its mask as integers (by bytes per number), and what of it is known to be zero where pruned.

    And-ing the integers to the numbers' own bits is as fast as multiplying by zeros and ones (filling by a boolean
    mask takes twenty times as long), and gives zero for infinities and not-a-numbers too.
    """

    def __init__(self, weight: Tensor, mask: Tensor):
        self.weight, self.mask = weight, mask.to(weight.device)
        self.bits: dict[int, Tensor] = {}
        self.version = -1
        self.state: list[Tensor] = []

    def before_step(self, optimizer: torch.optim.Optimizer) -> None:
        if self.weight.grad is not None:
            self._clear(self.weight.grad)
        if self.weight._version != self.version:  # written to since the last step
            self._clear(self.weight)
        self._clear_state(optimizer, trusted=True)

    def after_step(self, optimizer: torch.optim.Optimizer, trusted: bool) -> None:
        self._clear_state(optimizer, trusted)
        if not trusted:
            self._clear(self.weight)
        self.version = self.weight._version

    def _clear_state(self, optimizer: torch.optim.Optimizer, trusted: bool) -> None:
        state = optimizer.state.get(self.weight, {})  # of a weight that is not the optimizer's there is none
        values = [s for s in state.values() if torch.is_tensor(s) and s.shape == self.weight.shape]
        for value in values:
            if not (trusted and any(value is known for known in self.state)):
                self._clear(value)
        self.state = values

    def _clear(self, values: Tensor) -> None:
        size = values.element_size()
        if size not in self.bits:
            self.bits[size] = -self.mask.to(INTEGERS[size])  # all bits set where it keeps, none elsewhere
        values.view(INTEGERS[size]).bitwise_and_(self.bits[size])


def _pack(mask: Tensor) -> Tensor:
    bits = nn.functional.pad(mask.flatten(), (0, -mask.numel() % 8)).view(-1, 8)
    return (bits * (1 << torch.arange(8, device=bits.device))).sum(1).to(torch.uint8)


def _unpack(bits: Tensor, shape: torch.Size) -> Tensor:
    unpacked = (bits.unsqueeze(1) >> torch.arange(8, device=bits.device)) & 1
    return unpacked.flatten()[: shape.numel()].view(shape).bool()
