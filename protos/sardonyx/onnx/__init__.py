"""What is read of ONNX files beside ONNX Runtime: a schema."""
