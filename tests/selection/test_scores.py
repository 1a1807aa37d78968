"""Scores of a forward pass against their formulas, and whose data may be scored."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from redraw.seeds import generator
from redraw.selection import SelectionError, el2n, grand, input_norm, loss, margin, random_scores


class Given(nn.Module):
    """Logits that are the inputs, times a factor."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x):
        return self.factor * x


X = torch.randn(11, 4, generator=generator(0, "x"))
Y = torch.randint(4, (11,), generator=generator(0, "y"))


def by_hand(score, factor):
    values = []
    for z, y in zip((factor * X).tolist(), Y.tolist(), strict=True):
        weights = [math.exp(v) for v in z]
        p = [w / sum(weights) for w in weights]
        if score is el2n:
            values.append(math.sqrt(sum((p[c] - (c == y)) ** 2 for c in range(4))))
        elif score is loss:
            values.append(-math.log(p[y]))
        else:
            values.append(max(p[c] for c in range(4) if c != y) - p[y])
    return torch.tensor(values)


@pytest.mark.parametrize("score", [el2n, loss, margin])
def test_scores_are_their_formulas_averaged_over_networks(score):
    torch.testing.assert_close(score(Given(0.7), (X, Y), chunk=4), by_hand(score, 0.7))
    both = torch.stack([by_hand(score, 0.7), by_hand(score, 2.0)]).mean(0)
    torch.testing.assert_close(score([Given(0.7), Given(2.0)], (X, Y)), both)


def test_the_ends_of_the_scales():
    sure = torch.tensor([[50.0, 0.0], [0.0, 50.0]])
    y = torch.tensor([0, 0])
    torch.testing.assert_close(el2n(Given(), (sure, y)), torch.tensor([0.0, math.sqrt(2)]))
    torch.testing.assert_close(margin(Given(), (sure, y)), torch.tensor([-1.0, 1.0]))


def test_el2n_is_the_gradient_norm_in_the_logits():
    z = X.clone().requires_grad_()
    F.cross_entropy(z, Y, reduction="sum").backward()
    torch.testing.assert_close(el2n(Given(), (X, Y)), z.grad.norm(dim=1))


def test_input_norm_and_random_scores():
    pictures = X.reshape(11, 1, 2, 2)
    torch.testing.assert_close(input_norm((pictures, Y), chunk=3), X.square().sum(1).sqrt())
    one, again = (random_scores(50, generator(3, "r")) for _ in range(2))
    assert torch.equal(one, again) and 0.3 < one.mean() < 0.7


@pytest.mark.parametrize("score", [el2n, loss, margin, grand])
def test_a_loader_gives_what_tensors_give(score):
    loader = DataLoader(TensorDataset(X, Y), batch_size=3)
    torch.testing.assert_close(score([Given(1.0), Given(2.0)], loader), score([Given(1.0), Given(2.0)], (X, Y)))


def test_data_in_another_order_is_refused():
    pairs = TensorDataset(X, Y)
    for loader in (DataLoader(pairs, shuffle=True), DataLoader(pairs, batch_size=3, drop_last=True)):
        with pytest.raises(SelectionError, match="data: must be a DataLoader without shuffle"):
            el2n(Given(), loader)
    with pytest.raises(SelectionError, match="read more than once"):
        el2n(Given(), ((x[None], y[None]) for x, y in pairs))


def test_wrong_data_is_one_line():
    for data, words in {
        "labels": ((X, Y[:5]), "11 examples and 5 labels"),
        "floats": ((X, Y.float()), "class numbers"),
        "one-hot": ((X, F.one_hot(Y)), "class numbers"),
        "nothing": ([], "at least one example"),
        "no rows": ((X[:0], Y[:0]), "at least one example"),
        "inputs alone": (X, r"data: must be a pair of tensors \(x, y\), or a DataLoader that yields such pairs"),
        "loader of inputs": (DataLoader(TensorDataset(X)), r"data: must be a pair of tensors \(x, y\)"),
    }.values():
        with pytest.raises(SelectionError, match=words) as error:
            el2n(Given(), data)
        assert "\n" not in str(error.value)
    with pytest.raises(SelectionError, match="models: must be a network or several"):
        el2n([], (X, Y))


@pytest.mark.parametrize("score", [el2n, loss, margin, grand])
@pytest.mark.parametrize("wrong", [-100, -1, 4])
def test_labels_that_are_no_class_are_refused(score, wrong):
    labels = Y.clone()
    labels[7] = wrong
    with pytest.raises(SelectionError, match=f"^data: must have labels from 0 to 3, the network's .*, got {wrong}$"):
        score(Given(), (X, labels), chunk=3)
    input_norm((X, labels))  # which looks at no label


@pytest.mark.parametrize("chunk", [0, -1, 2.5, True])
def test_a_chunk_is_some_examples(chunk):
    for score in (el2n, loss, margin, grand):
        with pytest.raises(SelectionError, match=f"^chunk: must be a number of examples from 1, got {chunk}$"):
            score(Given(), (X, Y), chunk=chunk)
    with pytest.raises(SelectionError, match="^chunk: "):
        input_norm((X, Y), chunk=chunk)


def test_mixing_networks_are_refused_and_modes_are_left():
    model = nn.Sequential(nn.BatchNorm1d(4), Given())
    with pytest.raises(SelectionError, match="statistics of the batch"):
        el2n(model, (X, Y))
    model.eval()
    el2n(model, (X, Y))
    assert not model.training and model[0].num_batches_tracked == 0
