"""Figures about versions: pure functions on numbers and arrays."""
