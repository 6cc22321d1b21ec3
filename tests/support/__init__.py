"""Helpers for tests: real programs, real models."""
