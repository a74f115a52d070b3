"""What is published: wheel, source distribution and crate, built and looked at by `scripts/dist`."""
