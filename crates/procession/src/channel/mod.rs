//! How bytes travel between processes: in a pool slots with tasks one way and a ring of frames the other; connections, pipes and queues.

#[cfg(not(loom))]
mod bells;
#[cfg(not(loom))]
mod connection;
#[cfg(not(loom))]
mod eagerness;
#[cfg(not(loom))]
mod frame;
#[cfg(not(loom))]
mod habit;
#[cfg(not(loom))]
mod pipe;
#[cfg(not(loom))]
mod queue;
#[cfg(not(loom))]
mod ring;
#[cfg(not(loom))]
mod slots;
#[cfg(not(loom))]
mod spin;
pub mod words;

#[cfg(not(loom))]
pub use bells::Bells;
#[cfg(not(loom))]
pub use connection::{Receiving, Sending, receive_body};
#[cfg(not(loom))]
pub use eagerness::Eagerness;
#[cfg(not(loom))]
pub use frame::{FRAME_BYTES, Frame, FrameKind, RUN_END, measure_run};
#[cfg(not(loom))]
pub use habit::Habit;
#[cfg(all(not(loom), any(test, feature = "fuzzing")))]
pub(crate) use pipe::PIPE_SEGMENT_BYTES;
#[cfg(not(loom))]
pub use pipe::{Body, HEAD_BYTES, Head, Message, Pipe, Where};
#[cfg(not(loom))]
pub use queue::{Attempt, Oldest, Queue, QueueBell, bell_threads};
#[cfg(not(loom))]
pub use ring::{
    BLOCK_HEAD, Consumer, Ledger, Phase, Producer, RING_BYTES, Report, current_item, forsake_worker, give_back,
    is_called_off, is_interrupted,
};
#[cfg(not(loom))]
pub use slots::{MAX_WORKERS, SLOTS, Slots, Ticket};
#[cfg(not(loom))]
pub use spin::Spin;
