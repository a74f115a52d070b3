"""The parts of connections and queues."""
