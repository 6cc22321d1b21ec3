"""What comes in: spans by OTLP, and outcomes."""
