"""Pure core: values and rules. Nothing here does I/O, reads a clock, uses randomness or logs."""
