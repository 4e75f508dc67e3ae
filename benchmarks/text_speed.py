"""Sentences a second of the text encoder on one core: float32 by torch, int8 by ONNX; and none encoded twice.

    WHYREC_DATA=DIR OMP_NUM_THREADS=1 python benchmarks/text_speed.py [out.json]

Texts are titles and genres of MovieLens latest-small, 14 tokens on average. Prints texts a CPU second without and with
the making of the int8 file, the nearness of the two, and the time of a second call, which reads the cache.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from whyrec.data.samples import movielens
from whyrec.represent import text as module
from whyrec.represent.text import TextEncoder


def measured(precision: str, texts: list[str], folder: str) -> tuple[dict[str, float], np.ndarray]:
    encoder = TextEncoder(cache=folder, precision=precision)
    start = time.process_time()
    encoder.encode(["warm"])
    making = time.process_time() - start
    encoded = []
    for name in ("_pooled", "_pooled_int8"):
        original = getattr(module, name)
        setattr(module, name, lambda t, n, batch, m, f=original: encoded.extend(batch) or f(t, n, batch, m))
    cpu, wall = time.process_time(), time.perf_counter()
    states = encoder.encode(texts)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    count = len(encoded)
    start = time.process_time()
    again = encoder.encode(texts)
    cached = time.process_time() - start
    assert len(encoded) == count == len(set(texts)), "a text was encoded twice, or not at all"
    np.testing.assert_array_equal(states, again)
    return {"texts": count, "a_cpu_second": count / cpu, "a_second": count / wall, "first_call": making, "cached": cached}, states


def main() -> None:
    data = Path(os.environ.get("WHYREC_DATA", "shared/data"))
    texts = movielens(data / "ml-latest-small").items["text"].unique().sort().to_list()
    results, states = {}, {}
    for precision, size in (("float32", 1500), ("int8", 6000)):
        with tempfile.TemporaryDirectory() as folder:
            found, states[precision] = measured(precision, texts[:size], folder)
        results[precision] = found
        print(
            f"{precision}: {found['a_cpu_second']:.0f} texts a CPU second ({found['a_second']:.0f} by the clock), {found['texts']} texts, "
            f"loading and making the model {found['first_call']:.1f} s; all again from the cache {found['cached']:.2f} s, none encoded twice"
        )
    pair = np.sum(states["float32"] * states["int8"][:1500], axis=1)
    results["cosine"] = float(pair.mean())
    near = [np.argsort(-(s[:1500] @ s[:1500].T), axis=1)[:, 1:11] for s in states.values()]
    results["same_nearest"] = float(np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*near, strict=True)]))
    print(f"int8 beside float32: mean cosine {results['cosine']:.4f}; of the ten nearest texts {results['same_nearest']:.2f} are the same")
    print(f"aim: 450 a second by int8 on one core: {'reached' if results['int8']['a_cpu_second'] >= 450 else 'not reached'}")
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
