"""ONNX Runtime, and a schema of what is read of ONNX files beside it."""
