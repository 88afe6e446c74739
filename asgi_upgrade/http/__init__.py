"""Pure functions on a request: its header fields, its offer of an upgrade, its path, its first line for logs."""
