"""The benchmark: what Angarium costs and how fast it is, measured beside a ceiling and a common alternative.

`make bench` runs all of it; each measure also runs alone, e.g. `python -m bench.rate --seconds 10`. What is
measured and how to read it: docs/performance.md.
"""
