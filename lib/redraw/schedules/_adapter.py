"""One adapter from schedules to torch."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from redraw.schedules._checks import ScheduleError, count, number


class ScheduleLR(LRScheduler):
    """A schedule as a torch scheduler: the rate of every group is its base rate times schedule(k / steps).

    k counts the calls of `step()`, one after each optimizer step, so that optimizer step k of 0..steps-1 is
    taken at progress k / steps. With `tokens_per_step` in place of `steps` the schedule is called with k *
    tokens_per_step, as `power` wants it, and there is no horizon. The base rates are those of the optimizer's
    parameter groups, floats or tensors. Pickles where the schedule does.

    `state_dict` holds the position and the base rates, numbers and tensors only. The schedule and the horizon
    belong to the code: a WSD trunk is branched by loading its state into a scheduler with another horizon.
    `load_state_dict` sets the optimizer's rates too, so that the optimizer's own state may be loaded before
    or after it; torch's schedulers leave them at step 0 when it was before.

    Raises ScheduleError: steps or tokens_per_step below 1, both or neither; a base rate that is negative or
    not finite; a schedule that returns a multiplier that is; a step past the horizon; a state of other
    groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Callable[[float], float],
        steps: int | None = None,
        *,
        tokens_per_step: int | None = None,
        last_epoch: int = -1,
    ):
        if (steps is None) == (tokens_per_step is None):
            raise ScheduleError("steps: must be given, or tokens_per_step in its place, and not both")
        self.schedule = schedule
        self.steps = None if steps is None else count("steps", steps)
        self.tokens_per_step = None if tokens_per_step is None else count("tokens_per_step", tokens_per_step)
        for i, group in enumerate(optimizer.param_groups):
            number(f"learning rate of group {i}", group.get("initial_lr", group["lr"]), 0)
        super().__init__(optimizer, last_epoch)

    def multiplier(self, k: int) -> float:
        """The factor of optimizer step k, from 0. Raises ScheduleError past the horizon."""
        if self.steps is not None and k > self.steps:
            raise ScheduleError(f"steps: step {k} lies past the horizon of {self.steps} steps")
        at = k / self.steps if self.steps else k * self.tokens_per_step
        return number(f"schedule at {at:g}", self.schedule(at), 0)

    def get_lr(self) -> list[float | Tensor]:
        """The rates at the current position, floats or tensors like the base rates."""
        factor = self.multiplier(self.last_epoch)
        return [base * factor for base in self.base_lrs]

    def state_dict(self) -> dict[str, Any]:
        """Position, base rates and last rates; see the class."""
        named = ("last_epoch", "_step_count", "base_lrs", "_last_lr")
        return {name: getattr(self, name) for name in named}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken, and set the optimizer's rates accordingly; see the class."""
        groups, rates = self.optimizer.param_groups, state_dict["base_lrs"]
        if len(rates) != len(groups):
            raise ScheduleError(f"state_dict: must be of {len(groups)} parameter groups, not {len(rates)}")
        for i, rate in enumerate(rates):
            number(f"state_dict: base rate of group {i}", rate, 0)
        self.multiplier(state_dict["last_epoch"])  # a position past this horizon changes nothing
        self.last_epoch, self._step_count = state_dict["last_epoch"], state_dict["_step_count"]
        self.base_lrs = [_like(group["lr"], rate) for group, rate in zip(groups, rates, strict=True)]
        for group, base, rate in zip(groups, self.base_lrs, self.get_lr(), strict=True):
            group["initial_lr"] = _like(group["lr"], base)
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)  # in place: a captured or compiled step reads this very tensor
            else:
                group["lr"] = rate
        self._last_lr = [_like(group["lr"], group["lr"]) for group in groups]


def _like(current: float | Tensor, rate: float | Tensor) -> float | Tensor:
    """`rate` as a new value of the kind, type and device of the optimizer's current one."""
    return torch.full_like(current, float(rate)) if isinstance(current, Tensor) else float(rate)
