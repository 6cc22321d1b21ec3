"""The measurements: each starts what it needs, measures in turns, and gives figures."""
