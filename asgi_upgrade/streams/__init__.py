"""Upgraded connections that speak a protocol of the application's own."""
