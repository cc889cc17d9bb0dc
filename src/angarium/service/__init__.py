"""Use cases shared by every API and the command line. They validate input and open the transactions."""
