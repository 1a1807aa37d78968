"""GraNd: the gradient norm of each example over all parameters, exactly, for little more than one backward pass.

Backpropagation already has delta, the loss's gradient at a layer's output, for each example. With the layer's input h
that gives the example's gradient of the layer's weights, whose norm is often cheaper than the gradient itself:
for a linear layer ||delta h^T||_F = ||delta|| ||h||. Layers without a closed form here send the whole network to
torch.func, which computes a gradient per example.
"""

from collections import Counter
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.func import functional_call, grad, vmap

from redraw.selection._examples import SelectionError, averaged, known

_GRADIENT_FLOATS = 1 << 25  # what torch.func may hold at once: 128 MiB of single precision


def grand(models, data, *, chunk: int = 250) -> Tensor:
    """Gradient norm: the mean over networks of ||d loss(f(x), y) / d theta||_2, (N,), loss the cross-entropy in nats.

    theta: all parameters that require a gradient. models, data, `chunk` and errors as for `el2n`. Exact: linear,
    convolutional, layer, group, RMS and (in eval mode) batch normalization layers and embeddings by closed forms;
    for a network with other layers, shared parameters or layers used in other ways, torch.func. Which of
    the two is right for a network is tried on its first examples against plain autograd.
    Source: Paul et al. 2021, arXiv 2107.07075, definition 2.1; at initialization see Kirsch 2023, arXiv 2303.14753.
    """
    classes: dict[int, int] = {}
    method: dict[int, Callable] = {}

    def norms(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        if id(model) not in classes:
            with torch.no_grad():
                classes[id(model)] = model(x[:1]).shape[1]
        known(y, classes[id(model)])
        if id(model) not in method:
            method[id(model)] = _choose(model, x[:2], y[:2])
        return method[id(model)](model, x, y).sqrt()

    return averaged(models, data, norms, chunk)


def _choose(model: nn.Module, x: Tensor, y: Tensor) -> Callable:
    if not any(p.requires_grad for p in model.parameters()):
        raise SelectionError("models: must have parameters that require a gradient")
    if not _has_closed_forms(model):
        return squares_by_func
    closed, plain = squares_by_layer(model, x, y), _squares_one_by_one(model, x, y)
    rtol = 1000 * torch.finfo(plain.dtype).eps
    return squares_by_layer if torch.allclose(closed, plain, rtol=rtol, atol=0) else squares_by_func


# In closed form -------------------------------------------------------------------------------------------------


def squares_by_layer(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Squared gradient norms (N,) as the sum over layers of their closed forms; NaN where these cannot hold."""
    seen: list[tuple] = []

    def keep(layer, inputs, output):
        seen.append((layer, inputs[0].detach(), get_gradient_edge(output)))  # the edge outlives changes in place

    handles = [layer.register_forward_hook(keep) for layer in model.modules() if _trained(layer)]
    try:
        with torch.enable_grad():
            total = F.cross_entropy(model(x), y, reduction="sum")
    finally:
        for handle in handles:
            handle.remove()
    once = len({id(layer) for layer, _, _ in seen}) == len(seen)  # else gradients add up before they are squared
    if not once or any(len(h) != len(x) for _, h, _ in seen):  # and examples must be the first axis
        return torch.full((len(x),), torch.nan, dtype=total.dtype, device=total.device)
    deltas = torch.autograd.grad(total, [edge for _, _, edge in seen], allow_unused=True)
    squares = torch.zeros(len(x), dtype=total.dtype, device=total.device)
    for (layer, h, _), delta in zip(seen, deltas, strict=True):
        if delta is not None:
            squares += _CLOSED[type(layer)](layer, h, delta)
    return squares


def _trained(layer: nn.Module) -> bool:
    return any(p.requires_grad for p in layer.parameters(recurse=False))


def _has_closed_forms(model: nn.Module) -> bool:
    """Whether each parameter belongs to one layer, as the weight or bias of one whose closed form is known."""
    owners = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    return max(owners.values()) == 1 and all(
        type(layer) in _CLOSED and {name for name, _ in layer.named_parameters(recurse=False)} <= {"weight", "bias"}
        for layer in model.modules()
        if _trained(layer)
    )


def _weight(layer: nn.Module) -> bool:
    return layer.weight is not None and layer.weight.requires_grad


def _bias(layer: nn.Module) -> bool:
    return layer.bias is not None and layer.bias.requires_grad


def _outer(delta: Tensor, h: Tensor) -> Tensor:
    """||sum_t delta_t h_t^T||_F^2 summed over groups: delta (N, G, O, T), h (N, G, I, T) -> (N,).

    Either through the (O, I) matrix itself or through (T, T) inner products, sum_ts (delta_t.delta_s) (h_t.h_s).
    """
    o, i, t = delta.shape[2], h.shape[2], h.shape[3]
    if t == 1:
        return (delta.square().sum((2, 3)) * h.square().sum((2, 3))).sum(1)
    if t * (o + i) < o * i:
        products = (delta.transpose(2, 3) @ delta) * (h.transpose(2, 3) @ h)
        return products.flatten(1).sum(1).clamp_min(0)
    return (delta @ h.transpose(2, 3)).flatten(1).square().sum(1)


def _linear(layer: nn.Linear, h: Tensor, delta: Tensor) -> Tensor:
    """W and b of y = W h + b: h (N, ..., I), delta (N, ..., O), the positions between summed over."""
    n = len(h)
    h, delta = (v.reshape(n, 1, -1, v.shape[-1]).transpose(2, 3) for v in (h, delta))
    squares = _outer(delta, h) if _weight(layer) else 0
    return squares + (delta.sum(3).flatten(1).square().sum(1) if _bias(layer) else 0)


def _conv(layer, h: Tensor, delta: Tensor) -> Tensor:
    """A convolution is linear in the patches it looks at, the places in the picture being the positions."""
    n, groups, dimensions = len(h), layer.groups, len(layer.kernel_size)
    delta = delta.reshape(n, groups, layer.out_channels // groups, -1)
    squares = delta.sum(3).flatten(1).square().sum(1) if _bias(layer) else 0
    if not _weight(layer):
        return squares
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    h = F.pad(h, layer._reversed_padding_repeated_twice, mode=mode)
    if dimensions == 2 and groups == 1:
        patches = F.unfold(h, layer.kernel_size, layer.dilation, 0, layer.stride).unsqueeze(1)
    else:
        for d, (kernel, stride, dilation) in enumerate(
            zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)
        ):
            h = h.unfold(2 + d, (kernel - 1) * dilation + 1, stride)[..., ::dilation]
        places, kernel = range(2, 2 + dimensions), range(2 + dimensions, 2 + 2 * dimensions)
        h = h.permute(0, 1, *kernel, *places)  # (N, C, kernel, places)
        patches = h.reshape(n, groups, -1, delta.shape[3])
    return squares + _outer(delta, patches)


def _scaled(layer, normal: Tensor, delta: Tensor) -> Tensor:
    """w and b of y = w * normal + b: normal, delta (N, F, positions)."""
    squares = (delta * normal).sum(2).square().sum(1) if _weight(layer) else 0
    shifted = hasattr(layer, "bias") and _bias(layer)
    return squares + (delta.sum(2).square().sum(1) if shifted else 0)


def _layer_norm(layer, h: Tensor, delta: Tensor) -> Tensor:
    norm = F.layer_norm if isinstance(layer, nn.LayerNorm) else F.rms_norm
    normal, n = norm(h, layer.normalized_shape, eps=layer.eps), len(h)
    features = layer.weight.numel()
    return _scaled(layer, *(v.reshape(n, -1, features).transpose(1, 2) for v in (normal, delta)))


def _group_norm(layer: nn.GroupNorm, h: Tensor, delta: Tensor) -> Tensor:
    normal = F.group_norm(h, layer.num_groups, eps=layer.eps)
    return _scaled(layer, normal.flatten(2) if h.ndim > 2 else normal[..., None], delta.reshape(*h.shape[:2], -1))


def _batch_norm(layer, h: Tensor, delta: Tensor) -> Tensor:
    normal = F.batch_norm(h, layer.running_mean, layer.running_var, eps=layer.eps)
    return _scaled(layer, normal.reshape(*h.shape[:2], -1), delta.reshape(*h.shape[:2], -1))


def _embedding(layer: nn.Embedding, h: Tensor, delta: Tensor) -> Tensor:
    """A row's gradient is the sum of delta over the positions that look it up: symbols (N, ...), delta (N, ..., D)."""
    n = len(h)
    symbols, delta = h.reshape(n, -1), delta.reshape(n, h[0].numel(), -1)
    if layer.padding_idx is not None:
        delta = delta * (symbols != layer.padding_idx)[..., None]
    same = symbols[:, :, None] == symbols[:, None, :]
    return (same * (delta @ delta.transpose(1, 2))).flatten(1).sum(1).clamp_min(0)


_CLOSED: dict[type, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    nn.Linear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.Conv3d: _conv,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
    nn.BatchNorm1d: _batch_norm,
    nn.BatchNorm2d: _batch_norm,
    nn.BatchNorm3d: _batch_norm,
    nn.Embedding: _embedding,
}


# A gradient per example -----------------------------------------------------------------------------------------


def squares_by_func(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Squared gradient norms (N,) through torch.func, for any network it can differentiate; else one by one."""
    parameters = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}
    others = {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}
    fixed = others | dict(model.named_buffers())

    def loss(parameters, one, label):
        return F.cross_entropy(functional_call(model, (parameters, fixed), (one[None],)), label[None])

    at_once = max(1, _GRADIENT_FLOATS // sum(p.numel() for p in parameters.values()))
    try:
        gradients = vmap(grad(loss), in_dims=(None, 0, 0))
        parts = [
            sum(g.reshape(len(g), -1).square().sum(1) for g in gradients(parameters, xs, ys).values())
            for xs, ys in zip(x.split(at_once), y.split(at_once), strict=True)
        ]
        return torch.cat(parts)
    except RuntimeError:  # what torch.func cannot vectorize; an error of the network's own comes again
        return _squares_one_by_one(model, x, y)


def _squares_one_by_one(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    parameters, squares = [p for p in model.parameters() if p.requires_grad], []
    for i in range(len(x)):
        with torch.enable_grad():
            value = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        squares.append(sum(g.square().sum() for g in gradients if g is not None))
    return torch.stack(squares)
