"""What saves seconds at the start changes nothing that is computed, and nothing that others ask of the libraries."""

import gc
import json
import subprocess
import sys

import pytest

from redraw.workbook._startup import importing

TRAIN = """
import json, sys
import torch
from redraw.workbook._startup import without_compiler
if sys.argv[1] == "without":
    without_compiler()
model = torch.nn.Linear(5, 3)
with torch.no_grad():
    for p in model.parameters():
        p.copy_(torch.linspace(-1, 1, p.numel()).view_as(p))
adam, sgd = torch.optim.Adam, torch.optim.SGD
for make in (lambda p: adam(p, weight_decay=0.1, fused=True), lambda p: sgd(p, 0.1, momentum=0.9)):
    optimizer = make(model.parameters())
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    for _ in range(20):
        optimizer.zero_grad()
        model(torch.ones(2, 5)).square().sum().backward()
        optimizer.step()
    optimizer.load_state_dict(optimizer.state_dict())
loaded = "torch._dynamo.convert_frame" in sys.modules
twice = torch.compile(lambda x: x.sin() * 2, backend="eager")
import torch._dynamo.config
print(json.dumps({
    "weights": [p.tolist() for p in model.parameters()],
    "loaded": loaded,
    "compiled": twice(torch.ones(1)).item(),
    "whole": hasattr(torch._dynamo, "optimize") and torch._dynamo is sys.modules["torch._dynamo"],
}))
"""


def trained(how):
    done = subprocess.run([sys.executable, "-c", TRAIN, how], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_training_without_the_compiler_is_the_same_to_the_bit_and_who_asks_for_it_gets_it():
    plain, without = trained("with"), trained("without")
    assert (plain.pop("loaded"), without.pop("loaded")) == (True, False)
    assert without == plain and plain["whole"]


def test_the_collector_works_again_after_imports_even_if_one_fails():
    with pytest.raises(ImportError), importing():
        assert not gc.isenabled()
        import no_such_module  # noqa: F401
    assert gc.isenabled()
