"""Who may call what: certificates of the port, tokens of the callers, and the gate in front of every service."""
