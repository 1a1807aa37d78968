"""Trials that run side by side as one program: how a study offers it, and which trials go together.

A study's module says of its trial functions which others compute many of their trials at once:

    BATCHED = {"ticket": Batched("redraw.studies.my_tickets:tickets", varying=("learning_rate",))}

where `tickets(calls, device)` takes the keyword arguments of each trial, `[{"seed": 0, "round": 0, ...}, ...]`, and
returns for each, in order, what the trial function would have returned, to rounding.

A trial that runs so has a key of its own, since its last digits are other ones: that of the trial by itself, the
meaning of the batched function and the kind of device ("cpu", "cuda"). Who is beside it is not in the key. It would
part trials that differ by rounding only, so that every added seed and every interrupted run would compute all again;
its record says how many they were. What a key promises is thus weaker here than bit for bit: the result of the same
training, up to what training makes of rounding.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from math import ceil
from typing import TYPE_CHECKING, Any

import torch

from redraw.workbook._meaning import meaning
from redraw.workbook._store import Result, canonical

if TYPE_CHECKING:
    from redraw.workbook._trials import Trial

MOST = 32  # members of one group: more bring a GPU little, and what is killed with a group is lost


@dataclass(frozen=True)
class Batched:
    """How many trials of one function run as one program.

    function: "module:name" of what takes the calls and a device and returns their values (see the module).
    varying: the parameters in which its members may differ; all others must be the same, the seed need not.
    alone: networks (values of the parameter `network`) that run one by one all the same, since one fills a device.
    device: where it runs, "cpu" or "cuda".
    """

    function: str
    varying: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    device: str = "cpu"

    def material(self) -> dict[str, Any]:
        """What of it goes into a key."""
        return {"function": self.function, "meaning": meaning(self.function), "device": self.device}


def device_of(asked: bool | None, has_cuda: Callable[[], bool]) -> str | None:
    """Where trials run together, None for one by one: on CUDA where there is one unless asked not to, else if asked.

    has_cuda: whether what computes them has CUDA devices (`_engines.Computing`).
    """
    if asked is not False and has_cuda():
        return "cuda"
    return "cpu" if asked else None


def batched(trials: Iterable["Trial"], device: str | None) -> list["Trial"]:
    """The trials, and those they need, to be run together on `device` as far as their modules offer it.

    One whose module does not stays as it is, unless it needs others that change. No device changes nothing.
    """
    trials, made = list(trials), {}
    if not device:
        return trials

    def change(trial: "Trial") -> "Trial":
        if id(trial) not in made:
            needs, offer = {name: change(need) for name, need in trial.needs.items()}, _offer(trial)
            if offer or any(needs[name] is not need for name, need in trial.needs.items()):
                together = replace(offer, device=device) if offer else None
                made[id(trial)] = replace(trial, needs=needs, batched=together)
            else:
                made[id(trial)] = trial
        return made[id(trial)]

    return [change(trial) for trial in trials]


def _offer(trial: "Trial") -> Batched | None:
    module, _, name = trial.function.partition(":")
    found = getattr(import_module(module), "BATCHED", {}).get(name)
    return None if found and trial.parameters.get("network") in found.alone else found


def groups(ready: Iterable["Trial"], workers: int) -> list[list["Trial"]]:
    """Trials by those that run together, in order of their first: one by itself, or up to `MOST` that are batched
    alike, divided among so many workers."""
    alike: dict[str, list[Trial]] = {}
    for trial in ready:
        alike.setdefault(_likeness(trial), []).append(trial)
    found = []
    for trials in alike.values():
        size = min(MOST, ceil(len(trials) / max(workers, 1)))
        found += [trials[start : start + size] for start in range(0, len(trials), size)]
    return found


def _likeness(trial: "Trial") -> str:
    """What trials of one group have in common; for a trial that runs by itself its key."""
    if trial.batched is None:
        return trial.key
    same = {name: value for name, value in trial.parameters.items() if name not in trial.batched.varying}
    return canonical([trial.function, trial.batched.function, trial.batched.device, same, sorted(trial.needs)])


def on_cuda(trials: Sequence["Trial"]) -> bool:
    """Whether all of them train on CUDA and some of them together: processes would only crowd it, and groups are as
    large as can be, not one for each worker."""
    if trials and all(trial.batched is None for trial in trials):
        return False
    return all((t.batched.device if t.batched else t.parameters.get("device")) == "cuda" for t in trials)


def how_it_ran(device: str, members: int) -> dict[str, Any]:
    """What a batched trial's record says beside its value: the device, its name on CUDA, and the size of the group."""
    named = {"processor": torch.cuda.get_device_name()} if device == "cuda" else {}
    return {"device": device, **named, "members": members}


def told_of(results: Iterable[Result]) -> dict[str, Any] | None:
    """For run.json: how many results came from batched trials, on what, in groups of up to how many; None if none."""
    found = [result.body["batched"] for result in results if result.body.get("batched")]
    if not found:
        return None
    devices = sorted({how.get("processor", how["device"]) for how in found})
    largest = max(how["members"] for how in found)
    return {"trials": len(found), "device": ", ".join(devices), "largest group": largest}
