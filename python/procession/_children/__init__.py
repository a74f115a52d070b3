"""How children begin and end, by each start method."""
