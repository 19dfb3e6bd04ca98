"""What Socle costs at size, measured: `make bench`, or `python -m benchmarks --help`. See docs/benchmarks.md."""
