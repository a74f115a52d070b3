"""A kit for tests of programs with processes: `procession.testing` has its names, `plugin` is what pytest loads."""
