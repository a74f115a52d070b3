"""What connections and queues are made of."""
