"""Token mixers: projections, gates and norms around an engine, one family a file."""
