"""The command `angarium`: one module per command group, `main` puts them together."""
