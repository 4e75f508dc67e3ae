"""A transformer in eight-bit integers for the CPU: exported to ONNX once, kept beside the cache of texts."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whyrec.errors import BadInput
from whyrec.files import atomic_file, checksum, write_text

_log = logging.getLogger(__name__)
_NAMES = ("input_ids", "attention_mask", "token_type_ids")


class Int8Network:
    """Last hidden states of a BERT-like network whose weights are int8, one scale a channel, on one thread.

    Dynamic quantisation: activations are scaled by their range in the batch, so that a text's digits depend a little on
    its batch. folder: where the exported file is kept, with its checksum; a damaged one is made again.
    """

    def __init__(self, network: Any, folder: Path) -> None:
        self.limit = int(getattr(network.config, "max_position_embeddings", 1 << 30))
        self.names = _NAMES[: 3 if getattr(network.config, "type_vocab_size", 0) else 2]
        path = folder / "int8.onnx"
        if not _whole(path):
            try:
                _export(network, self.names, path)
            except BadInput as error:
                _log.warning("the int8 model is not kept: %s", error)
                with tempfile.TemporaryDirectory() as temporary:
                    _export(network, self.names, Path(temporary) / "int8.onnx")
                    self._session = _session(Path(temporary) / "int8.onnx")
                return
        self._session = _session(path)

    def __call__(self, tokens: dict[str, NDArray[np.int64]]) -> NDArray[np.float32]:
        """(texts, tokens, width) of token numbers and masks, (texts, tokens) each."""
        shape = tokens["input_ids"].shape
        given = {name: np.asarray(tokens.get(name, np.zeros(shape)), dtype=np.int64) for name in self.names}
        return np.asarray(self._session.run(None, given)[0], dtype=np.float32)


def _whole(path: Path) -> bool:
    seal = path.with_suffix(".sha256")
    try:
        return seal.read_text(encoding="ascii").strip() == checksum(path)
    except (OSError, ValueError):
        return False


def _export(network: Any, names: tuple[str, ...], path: Path) -> None:
    """Trace the network and quantise its matrix products."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, *given: torch.Tensor) -> torch.Tensor:
            states: torch.Tensor = self.network(**dict(zip(names, given, strict=True))).last_hidden_state
            return states

    example = torch.ones((2, 7), dtype=torch.int64)
    example_mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])
    given = tuple(example_mask if name == "attention_mask" else example * (name == "input_ids") for name in names)
    axes = {name: {0: "texts", 1: "tokens"} for name in (*names, "states")}
    root = logging.getLogger()
    level = root.level
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = Path(folder) / "plain.onnx"
        torch.onnx.export(
            States().cpu(), given, str(plain), input_names=list(names), output_names=["states"], dynamic_axes=axes,
            dynamo=False, opset_version=17,
        )  # fmt: skip
        root.setLevel(logging.ERROR)
        try:
            with atomic_file(path) as temporary:
                quantize_dynamic(plain, temporary, per_channel=True, weight_type=QuantType.QInt8)
            write_text(path.with_suffix(".sha256"), checksum(path) + "\n")
        finally:
            root.setLevel(level)


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def check_installed() -> None:
    """BadInput where what int8 needs is not there."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise BadInput(f"precision int8 needs {error.name}; pip install 'whyrec[onnx]', or use float32") from error
