"""Ordinary programs of libraries that users run in pools: our warnings have nothing to say about them."""
