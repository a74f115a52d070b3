//! What several processes use: locks, queues, connections, numbers. Thin: a class checks arguments, waits and calls the engine.

pub(crate) mod connection;
pub(crate) mod guarded;
pub(crate) mod message;
pub(crate) mod neutral;
pub(crate) mod neutral_queue;
pub(crate) mod numbers;
pub(crate) mod pickle;
pub(crate) mod queue;
pub(crate) mod queue_calls;
mod queue_message;
pub(crate) mod simple_queue;
pub(crate) mod sync;
