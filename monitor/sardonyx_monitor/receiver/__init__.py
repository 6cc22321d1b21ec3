"""What comes in: spans by OTLP over gRPC and HTTP, and outcomes."""
