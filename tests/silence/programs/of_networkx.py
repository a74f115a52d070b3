"""networkx: the centrality of nodes, part by part, as the examples of the library have it."""

import itertools
import sys

import networkx as nx
import procession as multiprocessing

GRAPH = nx.karate_club_graph()


def between(sources):
    return nx.betweenness_centrality_subset(GRAPH, sources, list(GRAPH), normalized=True)


if __name__ == "__main__":
    nodes = list(GRAPH)
    parts = [nodes[start : start + 10] for start in range(0, len(nodes), 10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        found = pool.map(between, parts)
        assert found == list(map(between, parts))
        lengths = pool.starmap(nx.shortest_path_length, zip(itertools.repeat(GRAPH), nodes))
        assert lengths == [nx.shortest_path_length(GRAPH, node) for node in nodes]
