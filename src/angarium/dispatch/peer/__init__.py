"""Passes accepted deliveries directly to the process that owns their lanes, over sockets."""
