"""A package that fails when it is imported."""

raise RuntimeError("a bug of its own")
