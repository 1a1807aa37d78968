"""Lines between networks against closed forms and against networks whose connection is known."""

import numpy as np
import pytest
import torch
from torch import nn

from redraw.dynamics import barrier, distance, interpolate, line_errors, reestimate_batch_norm
from redraw.models import initialize, perceptron, small_resnet
from redraw.seeds import generator


def scalar(weight, bias=0.0):
    """Logits (0, w x + b) of a number x: class 1 is answered where w x + b > 0."""
    model = nn.Linear(1, 2)
    model.load_state_dict({"weight": torch.tensor([[0.0], [weight]]), "bias": torch.tensor([0.0, bias])})
    return model


def check_ends():
    """The line begins at the first network and ends at the second, bit by bit, whatever the numbers."""
    first, second = ({"w": torch.randn(50, generator=generator(i)) * 1e3} for i in (0, 1))
    assert torch.equal(interpolate(first, second, 0.0)["w"], first["w"])
    assert torch.equal(interpolate(first, second, 1.0)["w"], second["w"])
    torch.testing.assert_close(interpolate(first, second, 0.25)["w"], 0.75 * first["w"] + 0.25 * second["w"])


def test_the_line_goes_from_the_first_to_the_second():
    check_ends()


def test_counters_are_the_firsts():
    first, second = ({"n": torch.tensor(n), "w": torch.tensor(float(n))} for n in (3, 7))
    middle = interpolate(first, second, 0.5)
    assert middle["n"].item() == 3 and middle["n"].dtype == torch.int64 and middle["w"].item() == 5.0


def test_errors_along_a_line_are_those_of_a_threshold_that_moves():
    """b runs from -0.25 to -0.75, so that x > -b is answered 1: the share of x between 0.25 and -b is wrong."""
    x = torch.arange(1000).view(-1, 1) / 1000 + 0.0005
    y = (x.squeeze(1) > 0.25).long()
    first, second, model = scalar(1.0, -0.25), scalar(1.0, -0.75), scalar(5.0)
    errors = line_errors(model, first.state_dict(), second.state_dict(), x, y, points=6)
    np.testing.assert_allclose(errors, [0, 0.1, 0.2, 0.3, 0.4, 0.5], atol=0.002)
    assert model.weight[1].item() == 5.0 and barrier(errors) == pytest.approx(0.25, abs=0.002)
    assert line_errors(model, first, second, x, y, points=6) == errors, "networks as well as their states"
    assert line_errors(first, first, second.state_dict(), x, y, points=6) == errors and first.bias[1].item() == -0.25


def test_two_networks_with_neurons_exchanged_are_not_linearly_connected():
    """The same function twice, hidden units in another order: both ends right, the middle is not."""
    x = torch.randn(2000, 2, generator=generator(0))
    y = (x[:, 0] * x[:, 1] > 0).long()
    corners = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    first = perceptron((2,), (4,), 2)
    second = perceptron((2,), (4,), 2)
    for model, order in ((first, [0, 1, 2, 3]), (second, [2, 3, 0, 1])):
        out = torch.tensor([[-1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, -1.0]])[:, order]
        state = {"1.weight": corners[order], "1.bias": torch.zeros(4), "3.weight": out, "3.bias": torch.zeros(2)}
        model.load_state_dict(state)
    errors = line_errors(first, first.state_dict(), second.state_dict(), x, y, points=5)
    assert errors[0] == errors[-1] < 0.02 and errors[2] > 0.3
    assert barrier(errors) == pytest.approx(max(errors) - errors[0])


def test_a_convex_problem_has_no_barrier():
    """The loss of logistic regression is convex, and where both ends are right on separable data the line is."""
    x = torch.randn(500, 3, generator=generator(1))
    y = (x[:, 0] > 0).long()
    ends = [{"1.weight": torch.tensor([[-s, 0.0, 0.0], [s, 0.0, 0.0]]), "1.bias": torch.zeros(2)} for s in (1.0, 9.0)]
    assert line_errors(perceptron((3,), (), 2), *ends, x, y, points=4) == [0.0] * 4


def check_barrier():
    assert barrier([0.1, 0.5, 0.3]) == pytest.approx(0.3)
    assert barrier([0.2, 0.1, 0.2]) == 0.0 and barrier([0.1, 0.3]) == pytest.approx(0.1)


def test_the_barrier_is_the_top_less_the_mean_of_the_ends():
    check_barrier()


def test_distance_is_euclids_over_the_names_given():
    first = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]]), "c": torch.tensor([100.0])}
    second = {name: torch.zeros_like(value) for name, value in first.items()}
    assert distance(first, second, ["a", "b"]) == pytest.approx(5.0)
    assert distance(first, first, first) == 0.0


def test_bad_input_is_refused_in_a_line():
    state = {"w": torch.zeros(2)}
    with pytest.raises(ValueError, match="states: must have the same names, only one has 'v'"):
        interpolate(state, {"w": torch.zeros(2), "v": torch.zeros(1)}, 0.5)
    with pytest.raises(ValueError, match=r"states: w must have one shape, got \[2\] and \[3\]"):
        interpolate(state, {"w": torch.zeros(3)}, 0.5)
    with pytest.raises(ValueError, match="points: must be at least 2"):
        line_errors(scalar(1.0), {}, {}, torch.zeros(1, 1), torch.zeros(1), points=1)
    with pytest.raises(ValueError, match="errors: must be at least 2"):
        barrier([0.1])
    with pytest.raises(ValueError, match="names: 'v' is not in both states"):
        distance(state, state, ["v"])
    with pytest.raises(ValueError, match="x: must be at least one input"):
        reestimate_batch_norm(scalar(1.0), torch.zeros(0, 1))


# Batch normalization ----------------------------------------------------------------------------------------------


def check_statistics():
    """One chunk: the statistics of the first layer are the inputs' own mean and unbiased variance."""
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 3), nn.BatchNorm1d(3))
    initialize(model, "glorot_normal", generator(0))
    x = 4 * torch.randn(200, 3, generator=generator(1)) + 2
    model[0].running_mean += 5
    reestimate_batch_norm(model, x)
    torch.testing.assert_close(model[0].running_mean, x.mean(0))
    torch.testing.assert_close(model[0].running_var, x.var(0))
    hidden = model[1]((x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(model[2].running_mean, hidden.mean(0), atol=1e-5, rtol=1e-4)


def test_statistics_are_those_of_the_inputs():
    check_statistics()


def test_chunks_are_averaged_and_modes_and_momenta_are_left_alone():
    model = nn.Sequential(nn.BatchNorm1d(1, momentum=0.3), nn.Dropout(0.9))
    model.train()
    model[0].eval()
    reestimate_batch_norm(model, torch.tensor([[1.0], [3.0], [5.0], [9.0], [77.0]]), chunk=2)
    assert model[0].running_mean.item() == pytest.approx((2 + 7) / 2)
    assert model[0].running_var.item() == pytest.approx((2 + 8) / 2)
    assert model[0].momentum == 0.3 and model.training and not model[0].training and model[1].training


def test_reestimation_repairs_a_network_with_wrong_statistics():
    model = initialize(small_resnet(width=4), "kaiming_normal", generator(0))
    x = torch.randn(300, 1, 28, 28, generator=generator(1))
    for _ in range(200):
        model(x)  # training mode: running statistics converge to those of x
    right = {name: value.clone() for name, value in model.state_dict().items()}
    model[1].running_mean += 3
    reestimate_batch_norm(model, x)
    for name in right:
        if "running" in name:
            torch.testing.assert_close(model.state_dict()[name], right[name], rtol=1e-3, atol=1e-3)
