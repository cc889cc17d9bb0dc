"""Use cases, shared by every API: validation and transactions around the store's verbs."""

"""Use cases shared by every API and the command line; they open the transactions and keep the rules."""
