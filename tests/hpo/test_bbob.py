import itertools
import pickle

import numpy as np
import pytest
from scipy.optimize import rosen
from scipy.stats import special_ortho_group

from redraw.hpo import BBOB, SearchError, _bbob_functions, bbob, random_search
from redraw.hpo._bbob_parts import oscillate, penalty, rotation, scales, skew
from redraw.hpo._checks import stream

DIMENSIONS = (2, 5, 20)


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("name", BBOB)
def test_the_optimum_is_in_the_box_and_nothing_found_lies_below(name, dimension):
    for seed in range(3):
        f = bbob(name, dimension, seed)
        assert np.abs(f.optimum).max() <= 5 and f.optimum.shape == (dimension,)
        assert f(f.optimum) == pytest.approx(f.value, abs=1e-6)
        assert -1000 <= f.value <= 1000 and round(f.value, 2) == f.value
        rng = np.random.default_rng(seed)
        near = f.optimum + 10.0 ** rng.uniform(-6, 0, (200, 1)) * rng.standard_normal((200, dimension))
        anywhere = rng.uniform(-5, 5, (200, dimension))
        assert f(np.clip(near, -5, 5)).min() >= f.value - 1e-6 and f(anywhere).min() > f.value


def test_an_instance_is_its_seeds():
    for name in BBOB:
        x = np.linspace(-1, 1, 4)
        assert bbob(name, 4, 1)(x) == bbob(name, 4, 1)(x) != bbob(name, 4, 2)(x)
        assert pickle.loads(pickle.dumps(bbob(name, 4, 1)))(x) == bbob(name, 4, 1)(x)


def test_points_together_are_points_apart_and_stay_as_they_were():
    x = np.random.default_rng(0).uniform(-6, 6, (7, 3))
    for name in BBOB:
        f, before = bbob(name, 3), x.copy()
        np.testing.assert_allclose(f(x), [f(row) for row in x], rtol=1e-12)
        np.testing.assert_array_equal(x, before)


# Against others ---------------------------------------------------------------------------------------------------


def test_rosenbrock_is_scipys():
    for dimension in (2, 10, 80):
        f = bbob("rosenbrock", dimension, 3)
        x = np.random.default_rng(0).uniform(-5, 5, (20, dimension))
        z = max(1, dimension**0.5 / 8) * (x - f.optimum) + 1
        np.testing.assert_allclose(f(x) - f.value, rosen(z.T), rtol=1e-9)


class Replayed:
    """A stream that gives Gallagher's peaks and widths of the reference in the order in which ours draws them."""

    def __init__(self, reference, first):
        places, self.widths = reference.xlocal @ reference.rotation.T, iter(reference.arrscales)
        self.places, self.first, self.alpha = iter((places[0], places[1:])), first, None

    def uniform(self, low, high, size):
        return next(self.places)

    def permutation(self, values):
        if self.alpha is None:
            self.alpha = iter([self.first, *values])
            return values
        return next(self.widths) * next(self.alpha) ** 0.25


@pytest.mark.parametrize("number", range(1, 25))
def test_the_reference_implementations_instance(monkeypatch, number):
    """pycma carries the authors' Python code of the functions; with its shifts and rotations ours gives its values."""
    reference = pytest.importorskip("cma.bbobbenchmarks")
    for dimension in DIMENSIONS:
        theirs = reference.dictbbobnfree[number](3)
        x = np.random.default_rng(dimension).uniform(-6, 6, (50, dimension))
        values = theirs._evalfull(x.copy())[1] - theirs.fopt
        turns = [reference.compute_rotation(theirs.rseed + shift, dimension).T for shift in (0, 1e6)]
        monkeypatch.setattr(_bbob_functions, "_optimum", lambda *a: theirs.xopt)  # noqa: B023
        monkeypatch.setattr(_bbob_functions, "_signs", lambda *a: np.sign(theirs.xopt))  # noqa: B023
        apart = []
        for order in itertools.permutations(turns):  # which of the two comes first differs among functions
            left = iter(order)
            monkeypatch.setattr(_bbob_functions, "rotation", lambda *a: next(left))  # noqa: B023
            rng = Replayed(theirs, {21: 1000, 22: 1e6}[number]) if number in (21, 22) else None
            ours = getattr(_bbob_functions, BBOB[number - 1])(dimension, rng)[1](x)
            apart.append(np.abs(ours / values - 1).max())
        assert min(apart) < 1e-10


def test_special_values():
    """By hand: one coordinate moved by one, where oscillation is the identity (T_osz(1) = 1)."""
    for name, height in (("sphere", 1), ("ellipsoid", 10**6), ("rastrigin", None)):
        f = bbob(name, 5, 0)
        moved = f.optimum + np.eye(5)[4]
        if height is not None:
            assert f(moved) - f.value == pytest.approx(height)
    f = bbob("linear_slope", 4, 0)
    assert f(np.zeros(4)) - f.value == pytest.approx(5 * sum(10 ** (i / 3) for i in range(4)))
    assert f(2 * f.optimum) == pytest.approx(f.value)  # flat beyond the corner
    f = bbob("step_ellipsoid", 3, 0)
    assert f(f.optimum + 1e-9) == pytest.approx(f.value, abs=1e-9)  # a plateau


# Their parts ------------------------------------------------------------------------------------------------------


def test_oscillation_and_asymmetry_keep_signs_order_and_fixed_points():
    x = np.linspace(-6, 6, 2001)[:, None] * np.ones(3)
    assert oscillate(np.array([[0.0, 1.0, -1.0]])).tolist() == [[0, 1, -1]]
    assert (np.diff(oscillate(x), axis=0) > 0).all() and (np.sign(oscillate(x)) == np.sign(x)).all()
    skewed = skew(x, 0.5)
    assert (np.diff(skewed, axis=0) > 0).all()
    np.testing.assert_array_equal(skewed[x[:, 0] <= 0], x[x[:, 0] <= 0])
    np.testing.assert_array_equal(skewed[:, 0], x[:, 0])  # the first coordinate's exponent is 1
    assert skew(np.array([[1.0, 4.0]]), 0.5)[0, 1] == 4 ** (1 + 0.5 * 2)


def test_scales_and_penalty():
    np.testing.assert_allclose(scales(100, 3), [1, 10**0.5, 10])
    assert penalty(np.array([[5.0, -5.0], [6.0, -7.0]])).tolist() == [0, 1 + 4]


def test_rotations_are_orthogonal_and_even():
    for dimension in DIMENSIONS:
        r = rotation(dimension, stream(0, dimension))
        np.testing.assert_allclose(r @ r.T, np.eye(dimension), atol=1e-12)
    corner = [rotation(3, stream(seed))[0, 0] for seed in range(400)]
    even = special_ortho_group.rvs(3, 400, random_state=0)[:, 0, 0]
    assert abs(np.mean(corner)) < 0.1 and np.var(corner) == pytest.approx(np.var(even), rel=0.2)  # 1 / 3 both


def test_as_an_objective():
    f = bbob("sphere", 2)
    found = random_search(f.objective, f.space, trials=50).best
    assert found.value == f([found.config["x0"], found.config["x1"]]) and found.value - f.value < 5


def test_refused():
    with pytest.raises(SearchError, match="^name: must be one of 'sphere'"):
        bbob("spere", 2)
    with pytest.raises(SearchError, match="^dimension: must be at least 2"):
        bbob("sphere", 1)
    with pytest.raises(SearchError, match=r"^x: must be of shape \(2,\) or \(n, 2\)"):
        bbob("sphere", 2)([1, 2, 3])
