"""The pure heart: values and rules. Nothing here does I/O, reads a clock, draws randomness or logs."""
