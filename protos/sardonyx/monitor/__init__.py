"""What the monitor takes in beside OTLP: schemas."""
