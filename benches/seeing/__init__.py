"""What it costs to see what pools do: `python -m benches.seeing`."""
