"""The Open Inference Protocol, version 2: messages and tensors."""
