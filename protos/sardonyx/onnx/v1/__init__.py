"""Version 1 of the schemas in this folder; the stubs beside them are generated."""
