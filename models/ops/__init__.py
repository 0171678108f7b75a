"""The engines as pure functions, each in its parallel, step and matrix form."""
