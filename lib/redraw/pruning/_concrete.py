"""Concrete Ticket Search: masks found by gradient descent on a relaxation of them, while the weights stand still."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from redraw.pruning._keep import keep
from redraw.pruning._masks import Masks

OBJECTIVES = ("cross_entropy", "reverse_kl", "forward_kl")


@dataclass(frozen=True)
class Search:
    """What a search found: the masks, the weights' logits alpha by name, and per iteration the loss and the expected
    fraction of weights kept."""

    masks: Masks
    alpha: dict[str, Tensor]
    losses: list[float]
    density: list[float]


def concrete_ticket_search(
    model: nn.Module,
    data: Iterator[tuple[Tensor, Tensor]],
    remaining: float,
    *,
    iterations: int,
    generator: torch.Generator,
    objective: str = "reverse_kl",
    learning_rate: float = 0.1,
    temperature: float = 2 / 3,
) -> Search:
    """Search for the fraction `remaining` of the weights that does the dense network's work without any training.

    Each weight has a logit alpha, at first logit(remaining), and is multiplied by a relaxed coin, drawn anew for every
    batch,  m = sigmoid(alpha + logit(u) / temperature),  u ~ U(0, 1).  Adam moves alpha down  grad L + lambda grad S:

      L  what the relaxed network loses on a batch. "reverse_kl": 100 KL(sparse || dense) of their outputs, which needs
         no labels; "forward_kl": 100 KL(dense || sparse); "cross_entropy": of the labels
      S  the expected number of weights kept, the sum of sigmoid(alpha)
      lambda  follows |grad L| / |grad S| while S is more than a tenth above its goal, else 0, as an average that moves
         by 1 % a step (GRADBALANCE): no penalty has to be tuned

    The learning rate falls tenfold after 88 % of the iterations. Those weights whose alpha is highest are kept.
    data: batches x (B, ...), y (B,), at least as many as iterations. The model is left as it was; batch norm uses the
    batch's statistics, dropout is off.
    Source: Arora & Teuscher 2025 (arXiv 2512.07142); constants and the temperature's place as in the authors' code.
    Raises ValueError for another objective or a fraction outside (0, 1).
    """
    if objective not in OBJECTIVES:
        raise ValueError(f"objective: must be one of {', '.join(OBJECTIVES)}, got {objective!r}")
    if not 0 < remaining < 1:
        raise ValueError(f"remaining: must be above 0 and below 1, got {remaining}")
    if iterations < 1:
        raise ValueError(f"iterations: must be at least 1, got {iterations}")
    twin = copy.deepcopy(model).eval().requires_grad_(False)
    for layer in twin.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()
    dense = Masks.dense(twin)
    weights = {name: parameter for name, parameter in twin.named_parameters() if name in dense}
    start = torch.logit(torch.tensor(remaining)).item()
    alpha = torch.full((dense.total,), start, device=next(iter(weights.values())).device).requires_grad_()
    goal, balance, losses, density = remaining * dense.total, 0.0, [], []
    optimizer = torch.optim.Adam([alpha], lr=learning_rate)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [round(0.88 * iterations)], gamma=0.1)
    for _ in range(iterations):
        x, y = next(data)
        mask = relaxed_coins(alpha, temperature, generator)
        pieces = dict(zip(weights, mask.split([w.numel() for w in weights.values()]), strict=True))
        masked = {name: weight * pieces[name].view_as(weight) for name, weight in weights.items()}
        loss = _loss(objective, functional_call(twin, masked, (x,)), y, lambda x=x: twin(x))
        (towards,) = torch.autograd.grad(loss, alpha)
        with torch.no_grad():
            chance = alpha.sigmoid()
            expected = float(chance.sum())
            penalty = chance * (1 - chance)
            balance = balanced(balance, towards, penalty, expected, goal)
            alpha.grad = towards + balance * penalty
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        density.append(expected / dense.total)
    found = alpha.detach().split([w.numel() for w in weights.values()])
    logits = {name: piece.view_as(weights[name]) for name, piece in zip(weights, found, strict=True)}
    return Search(keep(logits, dense, remaining), logits, losses, density)


def relaxed_coins(alpha: Tensor, temperature: float, generator: torch.Generator) -> Tensor:
    """sigmoid(alpha + logit(u) / temperature) with u ~ U(0, 1), for every alpha: above one half with probability
    sigmoid(temperature * alpha). Source: Maddison et al. 2017 (arXiv 1611.00712), alpha in units of 1 / temperature.
    """
    u = torch.rand(alpha.shape, generator=generator, device=generator.device).to(alpha.device)
    return torch.sigmoid(alpha + torch.logit(u, eps=1e-6) / temperature)


def balanced(balance: float, towards: Tensor, penalty: Tensor, expected: float, goal: float) -> float:
    """GRADBALANCE: the next lambda, 0.99 lambda + 0.01 |grad L| / |grad S| while too much is kept, else 0.99 lambda."""
    wanted = float(towards.norm() / penalty.norm()) if expected > 1.1 * goal else 0.0
    return 0.99 * balance + 0.01 * wanted


def _loss(objective: str, logits: Tensor, y: Tensor, dense) -> Tensor:
    if objective == "cross_entropy":
        return F.cross_entropy(logits, y)
    with torch.no_grad():
        whole = F.log_softmax(dense(), dim=1)
    sparse = F.log_softmax(logits, dim=1)
    a, b = (whole, sparse) if objective == "reverse_kl" else (sparse, whole)
    return 100 * F.kl_div(a, b, reduction="batchmean", log_target=True)  # KL(b || a)
