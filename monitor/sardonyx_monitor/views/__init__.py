"""What the pages show, computed from the store and the registry: plain values that JSON and templates share."""
