"""The benchmark's own arithmetic, and its parts that need no program from outside."""
