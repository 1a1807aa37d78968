"""Conv-2, Conv-4 and Conv-6: the small VGG-like networks of the lottery-ticket paper (arXiv 1803.03635, Figure 2)."""

from torch import nn
from torch.nn.utils import skip_init

from redraw.models._pictures import pictures

WIDTHS = {2: (64,), 4: (64, 128), 6: (64, 128, 256)}


def conv(layers: int, shape: tuple[int, ...] = (3, 32, 32), classes: int = 10) -> nn.Sequential:
    """`layers` (2, 4 or 6) 3x3 convolutions in pairs of 64, 128, 256 channels, each pair followed by 2x2 max-pooling,
    then fully connected 256, 256 and logits (N, classes), ReLU between. Inputs (N, C, H, W).

    Parameters are left unset: initialize them with `redraw.models.initialize`. Raises ValueError for other depths, and
    for inputs that are no pictures or that pooling leaves nothing of.
    """
    if layers not in WIDTHS:
        raise ValueError(f"layers: must be one of {', '.join(map(str, WIDTHS))}, got {layers}")
    channels, height, width = pictures(shape, least=2 ** (layers // 2))
    modules: list[nn.Module] = []
    for out in WIDTHS[layers]:
        for _ in range(2):
            modules += [skip_init(nn.Conv2d, channels, out, 3, padding=1), nn.ReLU()]
            channels = out
        modules.append(nn.MaxPool2d(2))
        height, width = height // 2, width // 2
    modules.append(nn.Flatten())
    inputs = channels * height * width
    for out in (256, 256):
        modules += [skip_init(nn.Linear, inputs, out), nn.ReLU()]
        inputs = out
    modules.append(skip_init(nn.Linear, inputs, classes))
    return nn.Sequential(*modules)
