"""Helpers that know no protocol: timers, transports, TCP figures, log records, checks."""
