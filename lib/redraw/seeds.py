"""Named random streams from one integer seed, so that no part of a trial disturbs another's randomness."""

import hashlib

import torch


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A fresh CPU generator for the stream called `names` of experiment `seed`.

    The state is the first 63 bits of SHA-256("seed/name/..."), so streams with different names are
    independent for all practical purposes and adding one never shifts another.
    """
    path = "/".join(map(str, (seed, *names)))
    digest = hashlib.sha256(path.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
