"""Pages of operators, below `/admin`."""
