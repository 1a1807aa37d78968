"""What studies refuse alike."""

import pytest

from redraw.studies import data_diet, lottery_ticket
from redraw.studies._pruning_trials import NETWORKS
from redraw.studies._requests import at_most_the_examples, each_once, fits


def refused(check, *arguments):
    with pytest.raises(ValueError) as caught:
        check(*arguments)
    return str(caught.value)


def test_names_are_there_and_each_once():
    for least in (0, 1, 2):
        each_once("levels", [8, 16], least)
    each_once("levels", [], 0)
    assert refused(each_once, "levels", []) == "levels: must name at least one, each once, got none"
    assert refused(each_once, "levels", [8], 2) == "levels: must name at least two, each once, got 8"
    assert refused(each_once, "levels", [8, 8], 0) == "levels: must name each once, got 8, 8"


def test_there_are_so_many_examples():
    at_most_the_examples("examples", 1437, "digits")
    assert (
        refused(at_most_the_examples, "n", 1438, "digits") == "n: must be at most the 1437 examples of digits, got 1438"
    )


@pytest.mark.parametrize("makers", [data_diet.NETWORKS, lottery_ticket.MODELS, NETWORKS])
def test_every_network_takes_pictures_and_the_first_alone_flat_inputs(makers):
    first, *others = makers
    for dataset in ("mnist", "cifar10"):
        for name in makers:
            fits("network", name, makers, dataset)
    fits("network", first, makers, "digits")
    for name in others:
        words = f"network: must be {first} for the inputs of digits, which are no pictures, got {name}"
        assert refused(fits, "network", name, makers, "digits") == words


def test_pictures_that_are_too_small_are_told_by_their_shape(monkeypatch):
    def picky(shape, classes):
        raise ValueError("shape: must be larger")

    words = "network: must be mlp or lenet_5 for the inputs of mnist, of shape (1, 28, 28), got picky"
    makers = {"picky": picky, "mlp": data_diet.NETWORKS["mlp"], "lenet_5": data_diet.NETWORKS["lenet_5"]}
    assert refused(fits, "network", "picky", makers, "mnist") == words
