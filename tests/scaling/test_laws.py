import warnings

import numpy as np
import pytest

from redraw.scaling import LAWS, ScalingError, ScalingWarning, fit_power_law, optimal_hyperparameters, rule_from_fit


def test_step_law_at_a_point():
    h = optimal_hyperparameters(1e9, 1e11)
    assert h.lr == pytest.approx(1.79 * 10 ** (-9 * 0.713) * 10 ** (11 * 0.307))
    assert h.batch == pytest.approx(0.58 * 10 ** (11 * 0.571))
    assert h.lr_interval[0] < h.lr < h.lr_interval[1] and h.batch_interval[0] < h.batch < h.batch_interval[1]
    assert h.sequences(2048) == pytest.approx(h.batch / 2048)
    assert 1e-3 < h.lr < 3e-3 and 5e5 < h.batch < 2e6 and not h.notes
    wide, narrow = (optimal_hyperparameters(1e9, 1e11, level=level).lr_interval for level in (0.99, 0.5))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


@pytest.mark.parametrize("law", LAWS)
def test_every_law_is_plausible_in_its_units(law):
    """At 500M parameters and 10B tokens every law must give a usable peak rate and a batch between 16K and 16M tokens.

    A law in the wrong units (1e-11, 1e16 tokens: the printed comparison table) cannot pass.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScalingWarning)
        h = optimal_hyperparameters(5e8, 1e10, law=law, loss=2.6)
    assert h.lr is None or 1e-4 < h.lr < 1e-2
    assert h.batch is None or 2**14 < h.batch < 2**24
    assert (h.lr is None) == (law == "minicpm") and (h.batch is None) == (law == "microsoft")
    assert h.law == law and LAWS[law].rests_on and "arXiv" in LAWS[law].source


def test_the_printed_table_differs_where_the_laws_say():
    # Microsoft: the table's constant is the paper's, divided by 1e9^0.23 where it should have been multiplied
    assert 1.55e-3 / 1e9**0.23 == pytest.approx(1.3192e-5, rel=1e-4)
    with pytest.warns(ScalingWarning):
        h = optimal_hyperparameters(1e9, 1e9, law="microsoft")
    assert h.lr == pytest.approx(1.55e-3)
    # Porian: tokens are 2,048 times the sequences of the second source
    assert 0.00037 * 2048 == pytest.approx(0.7576, rel=1e-3)
    # Kaplan: natural logarithm
    with pytest.warns(ScalingWarning):
        assert optimal_hyperparameters(2.155e9, 1e10, law="openai", loss=2.5).lr == pytest.approx(2.41e-4, rel=2e-3)


def test_out_of_range_warns_and_is_noted():
    with pytest.warns(ScalingWarning, match="N = 7e"):
        h = optimal_hyperparameters(7e10, 5e10)
    assert any("outside" in note for note in h.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimal_hyperparameters(5e8, 5e10)
    with pytest.warns(ScalingWarning, match="C = "):
        optimal_hyperparameters(1e10, 1e12, law="deepseek")


def test_a_law_in_the_loss_asks_for_it():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScalingWarning)
        h = optimal_hyperparameters(1e8, 1e10, law="minicpm")
        assert h.batch is None and any("give loss" in note for note in h.notes)
        assert optimal_hyperparameters(1e8, 1e10, law="minicpm", loss=2.4).batch == pytest.approx(1.21e9 / 2.4**6.24)
        assert optimal_hyperparameters(1e8, 1e10, law="openai", loss=3.0).batch == pytest.approx(2e8 / 3 ** (1 / 0.21))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"N": -1, "D": 1e9}, "N: must be greater than 0"),
        ({"N": 1e9, "D": "many"}, "D: must be a number"),
        ({"N": 1e9, "D": 1e9, "law": "google"}, "law: must be one of step"),
        ({"N": 1e9, "D": 1e9, "loss": 0}, "loss: must be greater"),
        ({"N": 1e9, "D": 1e9, "level": 1.5}, "level: must be between"),
    ],
)
def test_nonsense_is_refused(arguments, message):
    with pytest.raises(ScalingError, match=message):
        optimal_hyperparameters(**arguments)


def test_a_law_beyond_its_end_is_refused():
    with pytest.warns(ScalingWarning), pytest.raises(ScalingError, match="not positive"):
        optimal_hyperparameters(1e11, 1e12, law="openai")


@pytest.mark.parametrize(
    ("law", "arguments"),
    [
        ("deepseek", {"N": 1e300, "D": 1e300}),  # a compute that is too large for one
        ("openai", {"N": 1e9, "D": 1e10, "loss": 1e-100}),
        ("minicpm", {"N": 1e9, "D": 1e10, "loss": 1e100}),
    ],
)
def test_what_is_too_large_or_small_for_a_number_is_refused(law, arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScalingWarning)
        with pytest.raises(ScalingError, match=f"{law} law gives a (learning rate|batch) above 0.*, not (0|inf)$"):
            optimal_hyperparameters(**arguments, law=law)


def test_rule_from_fit_predicts_both():
    N, D = (a.ravel() for a in np.meshgrid([1e8, 1e9], [1e9, 1e10, 1e11]))
    rule = rule_from_fit(fit_power_law({"N": N, "D": D}, N**-0.5 * D**0.2), fit_power_law({"D": D}, 3 * D**0.5))
    assert rule(4e8, 2e10, None) == pytest.approx((4e8**-0.5 * 2e10**0.2, 3 * 2e10**0.5))
