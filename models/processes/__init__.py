"""Processes: how answers come out of a stack. Each is a generator of frames; the last frame completes the answer."""
