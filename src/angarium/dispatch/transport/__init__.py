"""Sends requests over HTTP: names, connections, deadlines, and what every failure is called."""
