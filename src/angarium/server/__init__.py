"""Serves over HTTP: processes, the protocol on each connection, and how many files may be open."""
