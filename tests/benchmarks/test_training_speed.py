"""What a trial costs beside the bare training loop, what a second process brings, and how much memory one takes.

The loop beside ours is written twice: as short as it can be, and as people write it, with a DataLoader and
torch.nn.utils.prune.
"""

import importlib.util
import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat
from multiprocessing import get_context

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

from redraw import data
from redraw.models import initialize, lenet_300_100
from redraw.pruning import Masks, magnitude
from redraw.seeds import generator
from redraw.training import batches, fit, steps
from redraw.workbook import Store, Trial, run_trials

needs_mnist = pytest.mark.skipif(not data.available("mnist"), reason="MNIST is not on this machine")
pytestmark = pytest.mark.usefixtures("single_thread")
BATCH, LR = 60, 1.2e-3
WHAT = "an iteration on MNIST: LeNet-300-100, batches of 60, Adam"


@pytest.fixture(scope="module")
def mnist():
    return data.load("mnist", seed=0)


def network():
    return initialize(lenet_300_100(), "glorot_normal", generator(0, "theta_0"))


def bare(dataset, iterations):
    """The shortest loop by hand: shuffled indices, fused Adam, tensors in memory. Returns a block of iterations."""
    model, x, y = network(), dataset.train_x, dataset.train_y
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    order = torch.randperm(len(x), generator=generator(0))

    def block():
        for i in range(iterations):
            index = order[i * BATCH % 54_000 :][:BATCH]
            loss = F.cross_entropy(model(x[index]), y[index])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return block


def trained(dataset, iterations, masked):
    """The same steps as `fit` takes them: our batches, our loop, masks held after each step."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
    if masked:
        magnitude(model.state_dict(), Masks.dense(model), 0.8).hold(model, optimizer)
    stepping = steps(model, batches(dataset.train_x, dataset.train_y, BATCH, generator(0)), optimizer, 10**9)

    def block():
        for _ in range(iterations):
            next(stepping)

    return block


def usual(dataset, iterations):
    """The loop that people write to train a pruned network: a shuffling DataLoader, torch's pruning, its Adam."""
    model = network()
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear):
            prune.l1_unstructured(layer, "weight", amount=0.8)
    loader = DataLoader(TensorDataset(dataset.train_x, dataset.train_y), batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    batches_of = chain.from_iterable(repeat(loader))

    def block():
        for _ in range(iterations):
            x, y = next(batches_of)
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    return block


def seconds(work):
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


@needs_mnist
@pytest.mark.parametrize("masked", [False, True], ids=["dense", "masked"])
def test_an_iteration_of_a_trial_beside_the_bare_loop(mnist, masked, interleaved, record_ratio):
    found = interleaved(trained(mnist, 100, masked), bare(mnist, 100), 20, clock=time.process_time)
    record_ratio(f"{'masked' if masked else 'dense'} iteration / bare loop", found, limit=1.15, what=WHAT)


@needs_mnist
def test_an_iteration_of_a_trial_beside_the_loop_people_write(mnist, interleaved, record_ratio):
    found = interleaved(trained(mnist, 100, True), usual(mnist, 100), 9, clock=time.process_time)
    record_ratio("masked iteration / DataLoader and torch.nn.utils.prune", found, limit=1, what=WHAT)


@needs_mnist
def test_fit_itself_beside_the_bare_loop(mnist, interleaved, record_ratio):
    """The whole of `fit`, its one evaluation kept as short as it can be."""
    few = slice(0, 1)
    short = data.Dataset("mnist", mnist.train_x, mnist.train_y, *(t[few] for t in _rest(mnist)), 10)

    def one():
        model = network()
        optimizer = torch.optim.Adam(model.parameters(), lr=LR, fused=True)
        magnitude(model.state_dict(), Masks.dense(model), 0.8).hold(model, optimizer)
        fit(
            model,
            short,
            optimizer,
            iterations=400,
            batch_size=BATCH,
            evaluate_every=400,
            generator=generator(0),
        )

    found = interleaved(one, lambda: bare(mnist, 400)(), 7, clock=time.process_time)
    record_ratio("fit of 400 masked iterations / bare loop", found, limit=1.15, what=WHAT)


def _rest(dataset):
    return dataset.validation_x, dataset.validation_y, dataset.test_x, dataset.test_y


MODULE = "redraw_speed_trials"
TRIAL = '''
    """A trial as the study's are: a masked LeNet on tensors made here, some seconds of training."""

    import torch

    from redraw.data import Arrays, split
    from redraw.models import initialize, lenet_300_100
    from redraw.pruning import Masks, magnitude
    from redraw.seeds import generator
    from redraw.training import fit


    def work(*, seed, iterations):
        g = generator(seed, "data")
        x, y = torch.randn(6000, 1, 28, 28, generator=g), torch.randint(10, (6000,), generator=g)
        dataset = split("noise", Arrays(x, y, x[:500], y[:500]), 500, seed)
        model = initialize(lenet_300_100(), "glorot_normal", g)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
        if iterations:
            magnitude(model.state_dict(), Masks.dense(model), 0.8).hold(model, optimizer)
            fit(model, dataset, optimizer, iterations=iterations, batch_size=60, evaluate_every=100, generator=g)
        return {"seed": seed}
'''


def cores_taken():
    """Cores that others keep busy at ordinary priority, over a second of our own rest; niced work gives way."""

    def ticks():
        user, _, system = open("/proc/stat").readline().split()[1:4]
        return int(user) + int(system)

    before, started = ticks(), time.perf_counter()
    time.sleep(1)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.perf_counter() - started)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_processes_beside_one(tmp_path, record_ratio):
    """Throughput of 2 workers over that of 1, workers warm in either case: how it is once a study is under way."""
    if len(os.sched_getaffinity(0)) - (taken := cores_taken()) < 1.9:
        pytest.skip(f"two free cores are needed, and others keep {taken:.1f} busy")
    (tmp_path / f"{MODULE}.py").write_text(textwrap.dedent(TRIAL))
    sys.path.insert(0, str(tmp_path))
    importlib.invalidate_caches()
    spawn, store, seeds = get_context("spawn"), Store(tmp_path / "trials"), iter(range(10**6))

    def trials(count, iterations):
        return [Trial(f"{MODULE}:work", {"iterations": iterations}, next(seeds)) for _ in range(count)]

    with ProcessPoolExecutor(1, mp_context=spawn) as one, ProcessPoolExecutor(2, mp_context=spawn) as two:
        for pool in (one, two, two):  # start the workers and their imports
            run_trials(trials(4, 0), store=store, executor=pool)
        speedups = []
        for _ in range(5):
            alone = seconds(lambda: run_trials(trials(4, 1000), store=store, executor=one))
            both = seconds(lambda: run_trials(trials(4, 1000), store=store, executor=two))
            speedups.append(alone / both)
    sys.path.remove(str(tmp_path))
    what = "seeds per minute on two cores, workers warm: trials of 1,000 masked iterations"
    record_ratio("two processes / one", speedups, limit=1.8, better="higher", what=what)


PEAK = """
    from redraw.studies import lottery_ticket as study
    from redraw.workbook import Store, Trial, run_trials
    from redraw.workbook._machine import peak_memory
    import sys
    recipe = study.settings(dataset="mnist", model="lenet_300_100", protocol="paper", budget=0.004, evaluate_every=100)
    dense = Trial("redraw.studies.lottery_ticket:ticket", recipe | {"round": 0}, 0)
    run_trials([Trial(dense.function, recipe | {"round": 1}, 0, {"previous": dense})], store=Store(sys.argv[1]), jobs=1)
    print(peak_memory()["own"])
"""


@needs_mnist
def test_peak_memory_of_a_process_on_mnist(tmp_path, record_ratio):
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PEAK), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    what = "resident memory of a process at its peak, two rounds of lottery_ticket on MNIST"
    record_ratio("peak memory of a trial", float(ran.stdout), limit=1.5, unit="GiB", what=what)
