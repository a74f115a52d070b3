#!/bin/sh
# networkx 3.6.1 (seen on CPython 3.11.7): `subgraph` gives a view, and a view is pickled with the whole graph that it
# looks at: two nodes of a graph of 100,000 take 2.8 MB, 20,000 times as much as their copy. A program that gives each
# worker its component sends all of the graph with each.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv environment
environment/bin/pip install -q --disable-pip-version-check networkx==3.6.1
cat >program.py <<'END'
import pickle

import networkx as nx

part = nx.path_graph(100_000).subgraph([1, 2])
print(part.number_of_nodes(), "nodes:", type(part).__name__)
print("view above 1 MB:", len(pickle.dumps(part)) > 1_000_000, "copy below 1 kB:", len(pickle.dumps(part.copy())) < 1_000)
END
cat >seen <<'END'
2 nodes: Graph
view above 1 MB: True copy below 1 kB: True
END
environment/bin/python program.py >printed
diff seen printed && echo "as seen"
