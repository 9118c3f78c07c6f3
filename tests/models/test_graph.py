"""Graphs are ONNX models by the book, and can be written for other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import Runner, one_line
from onnx import numpy_helper

from dcncodec.errors import ModelError
from dcncodec.models import families
from dcncodec.models.families import write_graph
from dcncodec.models.graph import Graph
from dcncodec.models.program import Transform
from dcncodec.models.registry import find_model, list_models


def test_everything_of_a_graph_is_written() -> None:
    graph = Graph("all kinds")
    x = graph.input("x", np.float32, (1, "h", 300))
    arrays = [
        np.arange(600, dtype=np.float32).reshape(2, 300)[:, ::-1].T,
        np.array([-1, 2**40], np.int64),
        np.array(7, np.uint8),
    ]
    first, *_ = [graph.constant(array) for array in arrays]
    y = graph.add("Gemm", x, first, alpha=0.5, transB=1)
    y = graph.add("Pad", y, mode="edge", axes=[0, 300])
    graph.output(y, "y", np.uint8, ("h", 2**31))
    model = onnx.load_from_string(graph.to_bytes())
    assert (model.ir_version, model.producer_name, model.graph.name) == (8, "dcncodec", "all kinds")
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    stored = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    for array, found in zip(arrays, stored, strict=True):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)
    gemm, pad, identity = model.graph.node
    assert (gemm.op_type, list(gemm.input)) == ("Gemm", ["x", model.graph.initializer[0].name])
    read = {a.name: onnx.helper.get_attribute_value(a) for n in (gemm, pad) for a in n.attribute}
    assert read == {"alpha": 0.5, "transB": 1, "mode": b"edge", "axes": [0, 300]}
    assert list(identity.output) == ["y"]
    (given,), (back,) = model.graph.input, model.graph.output
    sides = [d.dim_value or d.dim_param for d in given.type.tensor_type.shape.dim]
    assert sides == [1, "h", 300]
    assert back.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value for d in back.type.tensor_type.shape.dim] == [0, 2**31]


@pytest.mark.parametrize("folder", list_models(), ids=lambda folder: folder.name)
@pytest.mark.parametrize("transform", Transform)
def test_bundled_models_pass_the_checker(
    folder: families.ModelFolder, transform: Transform
) -> None:
    model = onnx.load_from_string(write_graph(folder, transform))
    onnx.checker.check_model(model, full_check=True)
    names = [value.name for value in (*model.graph.input, *model.graph.output)]
    assert set(names) - {"rate"} == {"pixels", "latent"}
    assert ("rate" in names) == folder.geometry.rates


def test_a_family_without_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = find_model("dcn-16c")
    monkeypatch.setattr(families, "find_codec", lambda name: object())
    with pytest.raises(ModelError, match="models of the family dcn have no graphs"):
        write_graph(folder, Transform.SYNTHESIS)


def test_export(dcn: Runner, tmp_path: Path, tiny_model: Path) -> None:
    target = tmp_path / "new" / "tiny-synthesis.onnx"
    result = dcn("models", "export-onnx", tiny_model, "-d", tmp_path / "new")
    assert result.code == 0
    assert [line.split(":")[0] for line in result.out.splitlines()] == [
        str(tmp_path / "new" / "tiny-analysis.onnx"),
        str(target),
    ]
    onnx.checker.check_model(onnx.load(target))
    target.write_bytes(b"")
    one_line(dcn("models", "export-onnx", tiny_model, "-d", tmp_path / "new"), "exists", code=2)
    assert target.read_bytes() == b""
    assert dcn("models", "export-onnx", tiny_model, "-d", tmp_path / "new", "--force").code == 0
    assert target.stat().st_size > 1_000_000
    one_line(dcn("models", "export-onnx", "fan-none"), "fan-none")
