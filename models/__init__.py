"""Beyond Attention's models: engines, mixers, the one backbone, the zoo, its tasks and its trainer. Pure torch."""
