"""Use cases shared by every API and the command line; they open the transactions and keep the rules."""
