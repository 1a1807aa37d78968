"""Masks on disk, and what two masks have in common."""

import pytest
import torch

from redraw.models import initialize, lenet_300_100
from redraw.pruning import Masks, load_masks, overlap, profile, random_pruning, save_masks, shuffle
from redraw.seeds import generator


def masks(remaining=0.3, seed=0):
    model = initialize(lenet_300_100((10,)), "kaiming_normal", generator(0))
    return random_pruning(model, remaining, generator(seed, "mask"))


def test_masks_come_back_with_where_they_are_from(tmp_path):
    path, about = tmp_path / "masks.safetensors", {"method": "snip", "remaining": 0.3, "seed": 4, "more": ["a", None]}
    save_masks(masks(), path, about)
    found, provenance = load_masks(path)
    assert found == masks() and provenance == about and list(found) == sorted(masks())
    assert path.stat().st_size < masks().total / 8 + 2000


def test_a_file_that_is_not_what_it_says_is_refused(tmp_path):
    path = tmp_path / "masks.safetensors"
    with pytest.raises(ValueError, match="is not there"):
        load_masks(path)
    save_masks(masks(), path, {"method": "snip"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="is damaged"):
        load_masks(path)
    path.write_bytes(whole.replace(b"snip", b"grip"))
    with pytest.raises(ValueError, match="is damaged"):
        load_masks(path)
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="cannot be read"):
        load_masks(path)
    with pytest.raises(ValueError, match="provenance: must be JSON values"):
        save_masks(masks(), path, {"model": torch.nn.Linear(1, 1)})


def test_overlap_by_hand():
    a = Masks({"w": torch.tensor([1, 1, 1, 0, 0, 0]).bool(), "v": torch.tensor([1, 0]).bool()})
    b = Masks({"w": torch.tensor([0, 1, 1, 1, 0, 0]).bool(), "v": torch.tensor([0, 1]).bool()})
    found = overlap(a, b)
    assert found["w"] == pytest.approx({"shared": 2 / 4, "chance": 1.5 / 4.5})
    assert found["v"]["shared"] == 0 and found[""]["shared"] == 2 / 6
    assert overlap(a, a)[""]["shared"] == 1
    with pytest.raises(ValueError, match="b: must have the layers and shapes of a"):
        overlap(a, Masks({"w": b["w"]}))


def test_shuffled_masks_share_what_chance_gives():
    found = overlap(masks(), shuffle(masks(), generator(0, "shuffle")))
    for name in ("3.weight", ""):
        assert found[name]["shared"] == pytest.approx(found[name]["chance"], abs=0.01)


def test_a_profile_is_each_layers_density():
    assert profile(masks(0.25)) == pytest.approx({"1.weight": 0.25, "3.weight": 0.25, "5.weight": 0.25})
