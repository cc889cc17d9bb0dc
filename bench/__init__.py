"""Measures the cost and speed of Angarium, next to a ceiling and a common alternative.

`make bench` runs all measures. Each also runs alone, e.g. `python -m bench.rate --seconds 10`.
docs/performance.md describes what is measured and how to read it.
"""
