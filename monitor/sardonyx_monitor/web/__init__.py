"""The pages, and everything on them as JSON below /api."""
