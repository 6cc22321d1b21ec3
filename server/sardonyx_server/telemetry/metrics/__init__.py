"""Metrics of all workers together: counted in each from its records, summed by the supervisor, read by Prometheus."""
