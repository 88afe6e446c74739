"""The extension ``http.upgrade``, the 101, and the change of a connection's owner."""
