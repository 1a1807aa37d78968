"""Instruments are tested by breaking them: each known bug of replications is put into the library; a test must fail.

A mutation edits the source of one function and swaps its code in place, so that everyone who imported the function
runs the broken one. The test named beside it is loaded and called as it is: it passes first, and fails then.
"""

import importlib.util
import inspect
import textwrap
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from redraw import _cli_selection, data, models, pruning, selection, training
from redraw.pruning import _iterative, _magnitude, _masks
from redraw.selection import _grand
from redraw.studies import data_diet, lottery_ticket
from redraw.workbook import Store, Trial
from redraw.workbook import _trials as trials

TESTS = Path(__file__).parent.parent


@dataclass(frozen=True)
class Mutation:
    """`edits` (old text: new text) to the source of `function`, seen by `check` ("file::test") called with `given`."""

    bug: str
    function: Callable
    edits: Mapping[str, str]
    check: str
    given: Mapping[str, Any] = field(default_factory=dict)


HOLD = "pruning/test_masks.py::check_hold"
ROUNDS = "pruning/test_iterative.py::test_each_round_starts_from_theta_0_with_its_buffers"
STOP = "training/test_early_stopping.py::test_the_stop_and_its_test_accuracy_are_those_of_brute_force"
STUDY = "studies/test_lottery_ticket.py::"
DIET = "studies/test_data_diet.py::"

MUTATIONS = [
    # Masks ------------------------------------------------------------------------------------------------------
    Mutation(
        "masks are not applied again after a step",
        _masks._Held._clear,
        {"values.view(INTEGERS[size]).bitwise_and_(self.bits[size])": "pass"},
        HOLD,
        {"name": "sgd_plain", "after": 5},
    ),
    Mutation(
        "only gradients are masked, while momentum is carried on",
        _masks._Held._clear_state,
        {"self._clear(value)": "pass"},
        HOLD,
        {"name": "sgd", "before": 5, "after": 5},
    ),
    Mutation(
        "weights are masked, their momentum is not",
        _masks._Held.before_step,
        {"self._clear(self.weight.grad)": "pass"},
        HOLD,
        {"name": "adam", "after": 5},
    ),
    Mutation(
        "what an optimizer moves without a gradient is not masked after the step",
        _masks._Held.after_step,
        {"if not trusted:": "if False:"},
        "pruning/test_masks.py::test_a_mask_holds_for_optimizers_that_move_weights_without_a_gradient",
    ),
    Mutation(
        "the mask is inverted",
        pruning.Masks.apply,
        {"masked_fill_(~mask.to(": "masked_fill_(mask.to("},
        "pruning/test_masks.py::test_apply_zeroes_the_pruned_weights_and_touches_nothing_else",
    ),
    # What is pruned ---------------------------------------------------------------------------------------------
    Mutation(
        "weights are ranked by their signed value",
        _magnitude._smallest,
        {".abs().sort(": ".sort("},
        "pruning/test_magnitude.py::check_signs",
    ),
    Mutation(
        "the largest weights go",
        _magnitude._smallest,
        {"sort(stable=True)": "sort(stable=True, descending=True)"},
        "pruning/test_magnitude.py::test_zeros_among_the_kept_weights_go_first_and_only_as_many_as_asked",
    ),
    Mutation(
        "what was pruned is ranked again",
        _magnitude._smallest,
        {"mask.flatten().nonzero()": "torch.ones_like(mask).flatten().nonzero()"},
        "pruning/test_magnitude.py::test_three_rounds_equal_torchs_layerwise_pruning",
        {"rate": 0.37},
    ),
    Mutation(
        "a rate counts from the whole layer instead of what is left of it",
        pruning.magnitude,
        {"int(mask.sum())": "mask.numel()"},
        "pruning/test_magnitude.py::test_the_lottery_papers_levels",
    ),
    Mutation(
        "an excluded layer does not count towards the global level",
        pruning.magnitude,
        {"round(rate * masks.kept)": "round(rate * int(mask.sum()))"},
        "pruning/test_magnitude.py::test_a_global_exclusion_keeps_its_layer_but_counts_towards_the_level",
    ),
    Mutation(
        "one shot removes the rate of one round times the rounds",
        pruning.compound,
        {"1 - (1 - rate) ** rounds": "rate * rounds"},
        "pruning/test_magnitude.py::test_compound_is_what_the_rounds_leave",
    ),
    Mutation(
        "the output layer is pruned at the hidden rate",
        lottery_ticket._rates,
        {"recipe.output_rate": "recipe.hidden_rate"},
        STUDY + "test_layers_lose_their_own_rate_each_round",
    ),
    # Rewinding and reinitializing -------------------------------------------------------------------------------
    Mutation(
        "rewinding forgets, and trained weights go on",
        _iterative._rounds,
        {"model.load_state_dict(start)": "pass"},
        ROUNDS,
    ),
    Mutation(
        "the start is a view of the weights that train",
        _iterative._rounds,
        {"value.clone()": "value"},
        ROUNDS,
    ),
    Mutation(
        "rewinding forgets the running statistics",
        _iterative._rounds,
        {
            "model.state_dict().items()}": "model.named_parameters()}",
            "load_state_dict(start)": "load_state_dict(start, strict=False)",
        },
        ROUNDS,
    ),
    Mutation(
        "masks are made from the initial weights",
        _iterative._rounds,
        {"masks = prune(masks)": "model.load_state_dict(start); masks = prune(masks)"},
        ROUNDS,
    ),
    Mutation(
        "the study's tickets go on from trained weights",
        lottery_ticket.ticket,
        {"_prune(recipe, weights, masks)": "_prune(recipe, weights, masks); model.load_state_dict(weights)"},
        STUDY + "test_every_ticket_starts_from_theta_0_of_its_seed",
    ),
    Mutation(
        "a reinitialized network has the ticket's initial weights",
        lottery_ticket.reinitialized,
        {'"reinitialization", draw)\n': '"theta_0")\n'},
        STUDY + "test_a_reinitialization_is_the_tickets_mask_on_new_weights",
    ),
    Mutation(
        "every draw of a reinitialization is the same",
        lottery_ticket.reinitialized,
        {'"reinitialization", draw)\n': '"reinitialization", 0)\n'},
        STUDY + "test_a_reinitialization_is_the_tickets_mask_on_new_weights",
    ),
    Mutation(
        "a reinitialized network is dense",
        lottery_ticket._train,
        {"masks.hold(model, optimizer)": "pass"},
        STUDY + "test_a_reinitialization_is_the_tickets_mask_on_new_weights",
    ),
    Mutation(
        "the initialization has twice the variance",
        models.initialize.__wrapped__,
        {"xavier_normal_(layer.weight,": "xavier_normal_(layer.weight, gain=2**0.5,"},
        "models/test_initialize.py::test_weights_are_normal_with_the_schemes_spread",
        {"model": models.lenet_300_100, "scheme": "glorot_normal"},
    ),
    # Training ---------------------------------------------------------------------------------------------------
    Mutation(
        "one permutation serves all epochs",
        training.batches,
        {
            "while True:": "order = torch.randperm(len(x), generator=generator)\n    while True:",
            "torch.randperm(len(x), generator=generator)[": "order[",
        },
        "training/test_loop.py::test_each_epoch_has_its_own_order",
    ),
    Mutation(
        "an epoch is drawn with replacement",
        training.batches,
        {"torch.randperm(len(x), generator": "torch.randint(len(x), (len(x),), generator"},
        "training/test_loop.py::test_each_epoch_has_its_own_order",
    ),
    Mutation(
        "labels are not shuffled with their inputs",
        training.batches,
        {"y.index_select(0, index)": "y[: len(index)]"},
        "training/test_loop.py::test_an_epoch_holds_every_example_at_most_once_and_drops_the_incomplete_batch",
        {"n": 12, "batch_size": 4},
    ),
    Mutation(
        "gradients are never cleared",
        training.steps,
        {"optimizer.zero_grad(set_to_none=True)": "pass"},
        "training/test_loop.py::test_steps_counts_from_one_takes_any_loss_and_leaves_its_gradients",
    ),
    Mutation(
        "a mean of means in place of the mean loss",
        training.evaluate.__wrapped__,
        {'reduction="sum"': 'reduction="mean"'},
        "training/test_loop.py::test_evaluate_equals_the_whole_batch_at_once",
        {"chunk": 7},
    ),
    Mutation(
        "evaluation uses the batch's statistics",
        training.evaluate.__wrapped__,
        {"model.eval()": "pass"},
        "training/test_loop.py::test_evaluate_uses_and_keeps_running_statistics",
    ),
    # Early stopping ---------------------------------------------------------------------------------------------
    Mutation(
        "the stop is read off the test set",
        training.fit,
        {"dataset.validation_x, dataset.validation_y": "dataset.test_x, dataset.test_y"},
        "training/test_early_stopping.py::test_the_test_set_decides_nothing",
    ),
    Mutation(
        "the stop is the best test accuracy",
        training.fit,
        {"if loss < h": "loss = 1 - evaluate(model, dataset.test_x, dataset.test_y)[1]\n        if loss < h"},
        STOP,
        {"seed": 6, "normed": False},
    ),
    Mutation(
        "the stop's accuracy is that of the final weights",
        training.fit,
        {"model.load_state_dict(best)": "pass"},
        STOP,
        {"seed": 6, "normed": False},
    ),
    Mutation(
        "the best weights are a view of the ones that train on",
        training.fit,
        {"best = {name: value.clone()": "best = {name: value"},
        STOP,
        {"seed": 6, "normed": False},
    ),
    Mutation(
        "the best weights lack the running statistics",
        training.fit,
        {
            "model.state_dict().items()}\n    history.final": "model.named_parameters()}\n    history.final",
            "load_state_dict(best)": "load_state_dict(best, strict=False)",
        },
        STOP,
        {"seed": 5, "normed": True},
    ),
    Mutation(
        "a run that diverged counts as stopped before it began",
        training.fit,
        {"history.stop_iteration = history.iterations[-1]\n": "pass\n"},
        "training/test_early_stopping.py::test_a_run_that_really_diverges_ends_with_its_own_weights",
    ),
    Mutation(
        "evaluation thaws what is frozen",
        training.evaluate.__wrapped__,
        {"module.training = mode": "pass"},
        "training/test_loop.py::test_evaluate_leaves_a_frozen_batch_norm_frozen",
    ),
    Mutation(
        "a stop at the budget counts as observed",
        training.fit,
        {"history.stop_iteration == history.iterations[-1]": "False"},
        "training/test_early_stopping.py::test_the_first_minimum_wins_and_one_at_the_end_is_censored",
        {"losses": [3.0, 2.0, 1.0], "stop": 6, "censored": True},
    ),
    Mutation(
        "the last of equal minima is the stop",
        training.fit,
        {"if loss < history": "if loss <= history"},
        "training/test_early_stopping.py::test_the_first_minimum_wins_and_one_at_the_end_is_censored",
        {"losses": [3.0, 1.0, 2.0, 1.0, 2.0], "stop": 4, "censored": False},
    ),
    # Data -------------------------------------------------------------------------------------------------------
    Mutation(
        "validation examples stay in the training set",
        data.split,
        {"held, kept = order[:validation], order[validation:]": "held, kept = order[:validation], order"},
        "mutations/test_mutations.py::check_split",
    ),
    Mutation(
        "validation examples are the first of the file for every seed",
        data.split,
        {'torch.randperm(total, generator=generator(seed, "split"))': "torch.arange(total)"},
        "mutations/test_mutations.py::check_split",
    ),
    Mutation(
        "training inputs are paired with others' labels",
        data.split,
        {"train_y=arrays.train_y[kept]": "train_y=arrays.train_y[validation:]"},
        "mutations/test_mutations.py::check_split",
    ),
    # Which examples are kept ------------------------------------------------------------------------------------
    Mutation(
        "values are looked up by place, though ids were sorted anew",
        selection.Scores.of,
        {"self.values[found]": "self.values[ids]"},
        "selection/test_artefact.py::check_ids",
    ),
    Mutation(
        "places are taken for ids",
        selection.select,
        {"scores.ids[chosen].sort().values": "chosen"},
        "selection/test_artefact.py::check_ids",
    ),
    Mutation(
        "noisy examples are sorted by class, and scores are not",
        data_diet.permuted_labels,
        {"return noisy": "return noisy.sort().values"},
        DIET + "test_noise_permutes_labels_and_leaves_examples_where_they_are",
    ),
    Mutation(
        "step 0 loads the last checkpoint",
        selection.load_checkpoint,
        {"if epoch is None:": "if not epoch:"},
        "selection/test_artefact.py::check_epochs",
    ),
    Mutation(
        "the study's scores at initialization are of trained weights",
        data_diet.scored,
        {'(0, "_start")': '(0 or score_epoch, "_start")'},
        DIET + "check_start",
    ),
    Mutation(
        "gradients of the last layer alone are called GraNd",
        _grand._choose,
        {
            "return squares_by_layer if torch.allclose(closed, plain, rtol=rtol, atol=0) else squares_by_func": (
                "last = list(model.parameters())[-1]\n"
                "    loss = lambda m, x, y: F.cross_entropy(m(x[None]), y[None])\n"
                "    norm = lambda *one: torch.autograd.grad(loss(*one), last)[0].square().sum()\n"
                "    return lambda m, x, y: torch.stack([norm(m, *one) for one in zip(x, y)])"
            ),
        },
        "selection/test_grand.py::check_norms",
        {"name": "mlp"},
    ),
    Mutation(
        "biases have no gradient",
        _grand.squares_by_func,
        {"if p.requires_grad}": "if p.requires_grad and p.ndim > 1}"},
        "selection/test_grand.py::test_in_single_precision_they_agree_to_a_hundred_thousandth",
    ),
    Mutation(
        "the study balances classes silently",
        data_diet.trained,
        {"keep, skip=skip, seed=seed)": "keep, skip=skip, seed=seed, classes=pool.y)"},
        DIET + "check_kept",
    ),
    Mutation(
        "redraw select balances classes silently",
        _cli_selection.select_file,
        {"if balanced:": "if True:"},
        "selection/test_cli_selection.py::check_unbalanced",
    ),
    Mutation(
        "selecting balances classes by a guess",
        selection.select,
        {"if classes is None:": "classes = torch.arange(n) // (n // 2) if classes is None else classes\n    if False:"},
        "selection/test_policies.py::check_no_balance",
    ),
    Mutation(
        "epoch-matched networks train as long as the others",
        data_diet.trained,
        {"round(recipe.steps * keep)": "recipe.steps"},
        DIET + "check_kept",
    ),
    Mutation(
        "what was never learned counts as never forgotten",
        selection.forgetting,
        {"torch.where(seen.learned, seen.events, seen.times.max())": "seen.events"},
        "selection/test_forgetting.py::test_never_forgotten_is_learned_and_kept",
    ),
    Mutation(
        "wrong labels are looked for among the easiest",
        data_diet.noise_found,
        {"int(changed.sum()))": "int(changed.sum()), largest=False)"},
        DIET + "check_noise",
    ),
    # The workbook -----------------------------------------------------------------------------------------------
    Mutation(
        "a key forgets what the trial needs",
        Trial.key.func,
        {"need.key for name, need in self.needs.items()": "0 for name, need in self.needs.items()"},
        "mutations/test_mutations.py::check_keys",
    ),
    Mutation(
        "a key forgets the seed",
        Trial.key.func,
        {'"seed": self.seed': '"seed": 0'},
        "mutations/test_mutations.py::check_keys",
    ),
    Mutation(
        "a key forgets the code",
        Trial.key.func,
        {
            "meaning(_resolve(self.function))": '""',
            '"function": self.function': '"function": ""',
            "if self.libraries:": "if False:",  # which the code also decides
        },
        "mutations/test_mutations.py::check_keys",
    ),
    Mutation(
        "a key forgets the data",
        trials.fingerprint,
        {"data.checksums(dataset)": "{}"},
        "mutations/test_mutations.py::check_keys",
    ),
    Mutation(
        "what code ran is not compared with the key",
        trials._check_code,
        {"if not same:": "if False:"},
        "mutations/test_mutations.py::check_edited_code",
    ),
    Mutation(
        "what is read is not compared with its sum",
        Store.own,
        {'hashlib.sha256(canonical(body).encode()).hexdigest() == record["sha256"]': "True"},
        "mutations/test_mutations.py::check_damage",
        {"name": "record.json"},
    ),
    Mutation(
        "tensors are not compared with their sum",
        Store.own,
        {'sha256_file(folder / "tensors.safetensors") == body["tensors"]': "True"},
        "mutations/test_mutations.py::check_damage",
        {"name": "tensors.safetensors"},
    ),
]


# Checks small enough to stand here: the split, the keys, the sums ------------------------------


def check_split():
    import torch

    numbers = torch.arange(50)
    arrays = data.Arrays(numbers.float().unsqueeze(1), 2 * numbers, -numbers.float().unsqueeze(1), 2 * numbers)
    made = [data.split("numbers", arrays, 20, seed) for seed in (0, 1)]
    for one in made:
        train, validation = (set(x.squeeze(1).long().tolist()) for x in (one.train_x, one.validation_x))
        assert len(train) == len(one.train_x) == 30 and len(validation) == len(one.validation_x) == 20
        assert not train & validation, "validation examples are trained on"
        assert torch.equal(one.train_y, 2 * one.train_x.squeeze(1).long())
        assert torch.equal(one.validation_y, 2 * one.validation_x.squeeze(1).long())
        assert torch.equal(one.test_x, arrays.test_x) and torch.equal(one.test_y, arrays.test_y)
    assert not torch.equal(made[0].validation_x, made[1].validation_x)


def check_keys(monkeypatch):
    def trial(function="ticket", seed=0, needs=None, **parameters):
        return Trial(
            f"redraw.studies.lottery_ticket:{function}",
            {"dataset": "digits", **parameters},
            seed,
            needs or {},
        )

    one = trial()
    others = [
        trial(seed=1),
        trial("one_shot"),
        trial(a=1),
        trial(needs={"a": one}),
        trial(needs={"a": trial(seed=1)}),
    ]
    keys = {one.key, *(other.key for other in others)}
    with monkeypatch.context() as patch:
        patch.setattr(data, "checksums", lambda name: {"file": "other"})
        keys.add(trial().key)
    assert len(keys) == 7
    assert trial().key == one.key


def check_edited_code(tmp_path, monkeypatch):
    tmp_path.mkdir()
    path = tmp_path / f"redraw_mutated_{tmp_path.name}.py"
    path.write_text("def f(*, seed):\n    return {'value': 1}\n")
    monkeypatch.syspath_prepend(tmp_path)
    trial, store = Trial(f"{path.stem}:f", {}, 0), Store(tmp_path / "trials")
    assert trial.key
    path.write_text("def f(*, seed):\n    return {'value': 2}\n")
    with suppress(trials.TrialError):
        trials.execute(trial, store)
    assert store.get(trial.key) is None


def check_damage(tmp_path, name):
    import torch

    store = Store(tmp_path)
    store.put("0" * 64, {"value": {"loss": 0.123456789}, "seconds": 1.0}, {"t": torch.ones(9)})
    path = store.folder("0" * 64) / name
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"0.123456789", b"0.123456788") if name == "record.json" else raw[:-1] + b"\0")
    assert path.read_bytes() != raw
    assert store.get("0" * 64) is None


# Injecting them ---------------------------------------------------------------------------------------------------


@cache
def find(check):
    """The function of a test file that is named "file::function"."""
    file, _, name = check.partition("::")
    if TESTS / file == Path(__file__):
        return globals()[name]
    spec = importlib.util.spec_from_file_location(f"mutated_{Path(file).stem}", TESTS / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)


def call(mutation, tmp_path, monkeypatch):
    check = find(mutation.check)
    wanted = inspect.signature(check).parameters
    fixtures = {"tmp_path": tmp_path, "monkeypatch": monkeypatch}
    check(**mutation.given, **{name: value for name, value in fixtures.items() if name in wanted})


def mutated(function, edits):
    """The code of `function` with the edits made to its source; each must be there once."""
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in edits.items():
        assert source.count(old) == 1, f"{function.__qualname__}: {old!r} must stand in its source once"
        source = source.replace(old, new)
    source = source[source.index("def ") :]  # decorators are in place already
    scope: dict[str, Any] = {}
    exec(compile(source, f"<mutated {function.__qualname__}>", "exec"), function.__globals__, scope)
    return scope[function.__name__].__code__


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.bug.replace(" ", "_"))
def test_a_known_bug_turns_its_check_red(mutation, tmp_path, monkeypatch):
    call(mutation, tmp_path / "sound", monkeypatch)
    with monkeypatch.context() as patch:
        function = inspect.unwrap(mutation.function)
        patch.setattr(function, "__code__", mutated(function, mutation.edits))
        with pytest.raises(AssertionError):
            call(mutation, tmp_path / "broken", monkeypatch)
    call(mutation, tmp_path / "sound_again", monkeypatch)
