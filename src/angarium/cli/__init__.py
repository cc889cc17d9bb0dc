"""The command line `angarium`: one module per command group; `main` combines them."""
