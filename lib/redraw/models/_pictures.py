"""The shape of inputs that convolutional networks need."""


def pictures(shape: tuple[int, ...], least: int = 1) -> tuple[int, int, int]:
    """Channels, height and width of inputs (C, H, W).

    Raises ValueError for inputs of another number of dimensions, or pictures smaller than `least` x `least`.
    """
    if len(shape) != 3:
        raise ValueError(f"shape: must be pictures (channels, height, width), got {tuple(shape)}")
    channels, height, width = shape
    if min(height, width) < least:
        raise ValueError(f"shape: must be pictures of at least {least}x{least}, got {height}x{width}")
    return channels, height, width
