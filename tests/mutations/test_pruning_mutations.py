"""Bugs of pruning code put into the methods one by one; the harness is that of test_mutations.py.

BUGS is the table of what goes wrong: where it was published, or why it would pass unnoticed. A test keeps it complete:
every bug in it has a mutation, here or in test_mutations.py, and every mutation here belongs to one.
"""

import importlib.util
import inspect
from pathlib import Path

import pytest
import torch
from torch import nn

from redraw import pruning
from redraw.pruning import Masks, _concrete, _dynamic, _keep, _masks, _scores, _structured
from redraw.studies import _pruning_trials as study

spec = importlib.util.spec_from_file_location("mutation_harness", Path(__file__).with_name("test_mutations.py"))
harness = importlib.util.module_from_spec(spec)
spec.loader.exec_module(harness)
Mutation = harness.Mutation

SCORES, KEEP, INIT = (f"pruning/test_{name}.py::" for name in ("scores", "keep", "at_init"))
DYNAMIC, CONCRETE, STRUCTURED = (f"pruning/test_{name}.py::" for name in ("dynamic", "concrete", "structured"))
HERE = "mutations/test_pruning_mutations.py::"
STUDY = "studies/test_pruning_at_init.py::"

# What goes wrong, where it did or why it would, and the mutations that stand for it.
BUGS = {
    "a shuffle that changes nothing": (
        "ganguli-lab/Synaptic-Flow, Pruner.shuffle rebinds a local name",
        ["a shuffle returns the mask as it was", "the study shuffles and trains the mask that was found"],
    ),
    "a missing absolute value": (
        "rahulvigneswaran's lottery-ticket code freezes every negative weight",
        [
            "weights are ranked by their signed value",
            "SNIP without its absolute value",
            "SynFlow of signed weights",
            "evolving masks rank signed weights",
        ],
    ),
    "only gradients are masked under momentum": (
        "he-y/filter-pruning, issue 47: momentum revives pruned weights",
        ["only gradients are masked, while momentum is carried on", "new masks are computed and the old ones held"],
    ),
    "masked weights are decayed": (
        "Unlearn-Saliency, issue 32: weight decay moves what only its gradient is masked of",
        ["pruned weights are left to weight decay"],
    ),
    "batch-norm statistics are not rewound": (
        "warm_start/run.py copies parameters() only",
        ["rewinding forgets the running statistics"],
    ),
    "ties are dropped": (
        "Synaptic-Flow keeps what is above a threshold",
        ["scores that equal the threshold go"],
    ),
    "single precision in SynFlow": (
        "Synaptic-Flow's history, its fix to double precision",
        ["SynFlow in single precision"],
    ),
    "a collapsed layer goes unnoticed": (
        "reference implementations print the sparsity of the whole network only",
        ["a layer at zero is no collapse"],
    ),
    "the largest GraSP scores stay": (
        "GraSP removes the largest of its scores, all other methods the smallest",
        ["GraSP keeps what it should remove"],
    ),
    "the sign of the Hessian-vector product is lost": (
        "tanayarora09/TLAB since 2025-11-04 sums absolute values",
        ["GraSP of absolute values"],
    ),
    "single-shot SynFlow": (
        "one round collapses layers, section 5 of its paper",
        ["SynFlow prunes in one round"],
    ),
    "growth by masked gradients": (
        "gradients of what is pruned are zero once a mask multiplies weights or gradients",
        ["connections grow anywhere but where the gradient is large"],
    ),
    "an update of the masks also takes a step": (
        "RigL's updates take the place of steps; its cost is counted so",
        ["RigL steps on the batch it spent"],
    ),
    "SET without signs": (
        "SET's rule asks for the positive and the negative ones apart, RigL's does not",
        ["SET drops by magnitude alone"],
    ),
    "a gradual schedule that does not end where it should": (
        "pruning every 100 steps, with an end that is no multiple of it",
        ["gradual pruning stops short of its goal"],
    ),
    "a density of the wrong coin": (
        "TLAB: where the temperature stands decides P(mask > 1/2)",
        ["the temperature divides alpha as well"],
    ),
    "KL the other way round": (
        "the results released with CTS are all of the forward divergence",
        ["reverse and forward KL are exchanged"],
    ),
    "an Erdos-Renyi layer above one": (
        "layers that would keep more than all their weights",
        ["dense layers are cut off at one and nobody makes up for it"],
    ),
    "removed neurons still send their bias": (
        "a neuron without inputs is a constant, not zero",
        ["what removed outputs sent on is forgotten"],
    ),
}

MUTATIONS = [
    Mutation(
        "a shuffle returns the mask as it was",
        pruning.shuffle,
        {"found[name] = mask.flatten()[order].view_as(mask)": "mask.flatten()[order]; found[name] = mask"},
        INIT + "check_shuffle",
    ),
    Mutation(
        "the study shuffles and trains the mask that was found",
        study.trained,
        {"masks = shuffle(": "shuffle("},
        STUDY + "check_shuffled",
    ),
    Mutation(
        "SNIP without its absolute value", pruning.snip_scores, {"(w * g).abs()": "(w * g)"}, SCORES + "check_snip"
    ),
    Mutation(
        "SynFlow of signed weights",
        _scores.linearized,
        {"weights[name]).abs_()": "weights[name])"},
        SCORES + "check_paths",
    ),
    Mutation(
        "evolving masks rank signed weights",
        _dynamic._rewired,
        {"_top(value.abs(), group": "_top(value, group"},
        DYNAMIC + "check_rigl",
    ),
    Mutation(
        "new masks are computed and the old ones held",
        pruning.evolve,
        {"        held = [_Held(weights[name], mask) for name, mask in after.items()]\n": ""},
        DYNAMIC + "check_zero",
        {"method": "gmp", "optimizer": "sgd"},
    ),
    Mutation(
        "pruned weights are left to weight decay",
        _masks._Held.before_step,
        {"self._clear(self.weight)": "pass"},
        HERE + "check_decay",
    ),
    Mutation(
        "scores that equal the threshold go",
        _keep._top,
        {"top[ties[: count - int(top.sum())]] = True": "pass"},
        KEEP + "check_ties",
    ),
    Mutation("SynFlow in single precision", _scores.linearized, {".double()": ".float()"}, SCORES + "check_deep"),
    Mutation(
        "a layer at zero is no collapse",
        pruning.collapsed,
        {"if not survivors": "if survivors < 0"},
        INIT + "check_collapsed",
    ),
    Mutation(
        "GraSP keeps what it should remove", pruning.grasp_scores, {"(w * h)": "(-w * h)"}, SCORES + "check_grasp"
    ),
    Mutation("GraSP of absolute values", pruning.grasp_scores, {"(w * h)": "(w * h.abs())"}, SCORES + "check_grasp"),
    Mutation(
        "SynFlow prunes in one round",
        pruning.synflow,
        {"_prune(model, remaining, rounds,": "_prune(model, remaining, 1,"},
        INIT + "check_no_collapse",
    ),
    Mutation(
        "connections grow anywhere but where the gradient is large",
        _dynamic._rewired,
        {"promise = weight.grad.flatten().abs()": "promise = (weight.grad.flatten() * kept).abs()"},
        DYNAMIC + "check_rigl",
    ),
    Mutation(
        "RigL steps on the batch it spent",
        pruning.evolve,
        {"optimizer.zero_grad(set_to_none=True)": "pass"},
        DYNAMIC + "check_rigl",
    ),
    Mutation(
        "SET drops by magnitude alone",
        pruning.sparse_evolutionary_training,
        {"by_sign=True": "by_sign=False"},
        DYNAMIC + "check_set",
    ),
    Mutation(
        "gradual pruning stops short of its goal",
        pruning.evolve,
        {" or (evolution.steps == until and remaining is not None)": ""},
        DYNAMIC + "check_gradual",
    ),
    Mutation(
        "the temperature divides alpha as well",
        _concrete.relaxed_coins,
        {"alpha + torch.logit(u, eps=1e-6) / temperature": "(alpha + torch.logit(u, eps=1e-6)) / temperature"},
        CONCRETE + "check_coins",
    ),
    Mutation(
        "reverse and forward KL are exchanged",
        _concrete._loss,
        {'objective == "reverse_kl"': 'objective != "reverse_kl"'},
        CONCRETE + "test_objectives_are_the_divergences_they_are_called",
    ),
    Mutation(
        "dense layers are cut off at one and nobody makes up for it",
        pruning.erk.__globals__["_scaled"],
        {"if eps * ratios[fullest] <= 1:": "if True:", "eps * ratios[name] for": "min(1.0, eps * ratios[name]) for"},
        KEEP + "test_erk_of_lenet_is_what_follows_from_the_equation",
    ),
    Mutation(
        "what removed outputs sent on is forgotten",
        _structured._fold,
        {"following.bias += sent": "pass"},
        STRUCTURED + "test_a_smaller_network_computes_the_same",
        {"name": "mlp", "remaining": 0.5},
    ),
]


def check_decay():
    """Weights written over while masks are held are zero after the next step, not a little smaller."""
    layer = nn.Linear(4, 3, bias=False)
    masks = Masks({"weight": torch.arange(12).view(3, 4) % 2 == 0})
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, weight_decay=0.1)
    masks.hold(layer, optimizer)
    with torch.no_grad():
        layer.weight.fill_(1.0)
    layer(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert not layer.weight[~masks["weight"]].any() and layer.weight[masks["weight"]].all()


def call(mutation, tmp_path, monkeypatch):
    if not mutation.check.startswith(HERE):
        return harness.call(mutation, tmp_path, monkeypatch)
    return globals()[mutation.check.removeprefix(HERE)](**mutation.given)


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.bug.replace(" ", "_"))
def test_a_known_bug_turns_its_check_red(mutation, tmp_path, monkeypatch):
    call(mutation, tmp_path / "sound", monkeypatch)
    with monkeypatch.context() as patch:
        function = inspect.unwrap(mutation.function)
        patch.setattr(function, "__code__", harness.mutated(function, mutation.edits))
        with pytest.raises(AssertionError):
            call(mutation, tmp_path / "broken", monkeypatch)
    call(mutation, tmp_path / "sound_again", monkeypatch)


def test_every_known_bug_is_injected():
    ours = {mutation.bug for mutation in MUTATIONS}
    listed = [bug for _, mutations in BUGS.values() for bug in mutations]
    assert len(listed) == len(set(listed)) and all(where for where, _ in BUGS.values())
    assert set(listed) <= ours | {mutation.bug for mutation in harness.MUTATIONS}
    assert ours <= set(listed)
