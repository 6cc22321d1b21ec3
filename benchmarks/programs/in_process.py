"""ONNX Runtime without a server: prints how many rows a second one thread answers.

python benchmarks/programs/in_process.py MODEL.onnx ROWS SECONDS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime as ort


def main() -> None:
    """Run the same rows again and again."""
    graph, rows, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(graph.read_bytes(), options, providers=["CPUExecutionProvider"])
    (tensor,) = session.get_inputs()
    feed = {tensor.name: np.random.default_rng(0).normal(size=(rows, tensor.shape[1]))}
    session.run(None, feed)
    runs, started = 0, time.perf_counter()
    while (taken_s := time.perf_counter() - started) < seconds:
        session.run(None, feed)
        runs += 1
    print(runs * rows / taken_s)


if __name__ == "__main__":
    main()
