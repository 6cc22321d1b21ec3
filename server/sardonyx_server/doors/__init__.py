"""The doors: gRPC services on one port. Each turns messages into calls of what stands below, and nothing else."""
