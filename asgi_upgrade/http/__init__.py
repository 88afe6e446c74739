"""The grammar of a request's fields, and what it offers. Pure."""
