"""The commands of the exporter's command line: each asks, does and says, and nothing more."""
