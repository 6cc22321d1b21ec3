"""The servers that are measured, each a process of its own on one processor, all with the same ONNX session."""
