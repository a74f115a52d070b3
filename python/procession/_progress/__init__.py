"""How far the maps of a pool are, drawn by the thread that waits for them. Loaded by the first map with `progress=`."""
