"""The entries of the zoo, a file a family."""
