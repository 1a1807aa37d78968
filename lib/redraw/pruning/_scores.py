"""What a weight matters: a score per weight, the higher the rather kept. One short function per published score."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from redraw.pruning._masks import Masks

NORMS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)


def magnitude_scores(model: nn.Module) -> dict[str, Tensor]:
    """|w| of every prunable weight, shaped like it. Source: Han et al. 2015 (arXiv 1506.02626)."""
    weights = model.state_dict()
    return {name: weights[name].detach().abs() for name in Masks.dense(model)}


def random_scores(model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """Uniform in [0, 1), independent: every weight matters alike. Drawn on the generator's device."""
    masks = Masks.dense(model)
    return {n: torch.rand(m.shape, generator=generator, device=generator.device).to(m.device) for n, m in masks.items()}


def snip_scores(
    model: nn.Module, x: Tensor, y: Tensor, masks: Masks | None = None, *, loss: Callable = F.cross_entropy
) -> dict[str, Tensor]:
    """SNIP's connection sensitivity |dL/dc| = |w * dL/dw|, where c = 1 multiplies the weight w.

    x (N, ...), y (N,): one batch; the paper's sum to one changes no rank. masks: what is pruned already.
    Batch norm uses the batch's statistics, dropout is off, and the model is left as it was.
    Source: Lee, Ajanthan & Torr 2019 (arXiv 1810.02340), equations 4 to 6. Raises ValueError for other than one label
    an input, or a layer that `forward` does not use.
    """
    _labelled(x, y)
    twin, weights = _twin(model, masks)
    gradients = _gradients(loss(twin(x), y), weights)
    return {name: (w * g).abs().detach() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def grasp_scores(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    masks: Masks | None = None,
    *,
    temperature: float = 200.0,
    loss: Callable = F.cross_entropy,
) -> dict[str, Tensor]:
    """GraSP's score with its sign turned, w * (H g): to first order what the weight adds to half the squared norm of
    the gradient. GraSP removes the largest -w * (H g).

    g and H: gradient and Hessian of the loss with respect to all prunable weights. temperature divides the logits: it
    is in the authors' code, not in the paper. Batch norm, dropout, the model and errors: as in `snip_scores`.
    Source: Wang, Zhang & Grosse 2020 (arXiv 2002.07376), equation 8 and algorithm 2.
    """
    _labelled(x, y)
    twin, weights = _twin(model, masks)
    gradients = _gradients(loss(twin(x) / temperature, y), weights, create_graph=True)
    product = sum((g.detach() * g).sum() for g in gradients)
    hg = torch.autograd.grad(product, list(weights.values()))
    return {name: (w * h).detach() for (name, w), h in zip(weights.items(), hg, strict=True)}


def synflow_scores(model: nn.Module, example: Tensor, masks: Masks | None = None) -> dict[str, Tensor]:
    """SynFlow's synaptic saliency |w| * dR/d|w| in double precision, with R = 1^T |W_L| ... |W_2| |W_1| 1.

    R sends an input of ones, shaped like the first of `example` (N, ...), through the network with the absolute values
    of its weights. Biases are left out and normalization passes on what comes in, as the equation has neither. A score
    is the sum over all paths through the weight of the products of their |w|: where activations are linear from zero up
    (ReLU), what enters a unit equals what leaves it, and every layer's scores sum to R.
    Double precision, since R is a product over layers: in single precision deep or wide networks overflow to infinity.
    Source: Tanaka et al. 2020 (arXiv 2006.05467), equation 2 and algorithm 1. Raises ValueError for a layer that
    `forward` does not use.
    """
    with linearized(model, masks) as (twin, weights):
        ones = torch.ones_like(example[:1], dtype=next(iter(weights.values())).dtype)
        gradients = _gradients(twin(ones).sum(), weights)
        return {name: (w * g).detach() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def wanda_scores(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Wanda's |w_ij| * ||X_j||_2, the weight times the norm of the input it multiplies; compared row by row
    (`keep(..., scope="row")`).

    x (N, ...): inputs from which the layers' own inputs are computed, in eval mode, forward only. Linear layers only,
    as in the paper. Source: Sun et al. 2024 (arXiv 2306.11695), equation 1.
    Raises ValueError for a model with other prunable layers, or with one that `forward` does not use.
    """
    twin, weights = _twin(model, None)
    squares: dict[str, Tensor] = {}
    handles = []
    for path, layer in twin.named_modules():
        name = f"{path}.weight" if path else "weight"
        if name in weights:
            if not isinstance(layer, nn.Linear):
                raise ValueError(f"layer {path!r}: must be linear for Wanda's score, is {type(layer).__name__}")
            handles.append(layer.register_forward_pre_hook(_adder(squares, name)))
    with torch.no_grad():
        twin.eval()(x)
    _used([name for name in weights if name not in squares])
    return {name: w.detach().abs() * squares[name].sqrt().to(w.dtype) for name, w in weights.items()}


def _labelled(x: Tensor, y: Tensor) -> None:
    if len(x) != len(y):
        raise ValueError(f"y: must be a label for each of the {len(x)} inputs, got {len(y)}")


def _gradients(of: Tensor, weights: Mapping[str, Tensor], **options) -> list[Tensor]:
    """The gradients of a number with respect to weights, all of which must have a part in it."""
    if not of.requires_grad:
        _used(list(weights))
    gradients = torch.autograd.grad(of, list(weights.values()), allow_unused=True, **options)
    _used([name for name, gradient in zip(weights, gradients, strict=True) if gradient is None])
    return gradients


def _used(unused: list[str]) -> None:
    if unused:
        layer = unused[0].rpartition(".")[0]
        raise ValueError(f"model: layer {layer!r} is not used by forward for what it returns, and has no score")


def _adder(squares: dict[str, Tensor], name: str) -> Callable:
    def add(layer, inputs):
        square = inputs[0].detach().double().square().flatten(0, -2).sum(0)
        squares[name] = squares.get(name, 0) + square

    return add


def _twin(model: nn.Module, masks: Masks | None) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """A copy to take gradients of, masked, and its prunable weights: no statistic of the model itself moves."""
    twin = copy.deepcopy(model).eval()
    for layer in twin.modules():
        if isinstance(layer, _BatchNorm):
            layer.train()
    if masks is not None:
        masks.apply(twin)
    parameters = dict(twin.named_parameters())
    return twin, {name: parameters[name].requires_grad_() for name in (masks or Masks.dense(twin))}


@contextmanager
def linearized(
    model: nn.Module, masks: Masks | None = None, weights: Mapping[str, Tensor] | None = None
) -> Iterator[tuple[nn.Module, dict[str, nn.Parameter]]]:
    """A copy of `model` in double precision that is linear on inputs >= 0: |w| for weights (or |weights|, if given),
    masked, no biases, no normalization. Yields it with its prunable weights."""
    twin = copy.deepcopy(model).double().eval()
    parameters = dict(twin.named_parameters())
    prunable = {name: parameters[name].requires_grad_() for name in (masks or Masks.dense(twin))}
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name in prunable:
                parameter.copy_(parameter if weights is None else weights[name]).abs_()
            elif name.rpartition(".")[2] == "bias":
                parameter.zero_()
    if masks is not None:
        masks.apply(twin)
    norms = [layer for layer in twin.modules() if isinstance(layer, NORMS)]
    for layer in norms:
        layer.register_forward_hook(lambda layer, inputs, output: inputs[0])
    yield twin, prunable
