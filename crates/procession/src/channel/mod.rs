//! How bytes travel between processes: in a pool slots with tasks one way and a ring of frames the other; connections, pipes and queues.

mod badge;
mod bells;
mod connection;
mod eagerness;
mod frame;
mod habit;
pub mod neutral;
mod pipe;
mod queue;
mod ring;
mod rows;
mod slots;
mod spin;
pub mod words;

pub use badge::{Badge, SHOWN_BYTES, Said, Shown, short, shown, text_in, word_in};
pub use bells::Bells;
pub use connection::{Receiving, Sending, receive_body};
pub use eagerness::Eagerness;
pub use frame::{FRAME_BYTES, Frame, FrameKind, RUN_END, measure_run};
pub use habit::Habit;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use pipe::PIPE_SEGMENT_BYTES;
pub use pipe::{Body, HEAD_BYTES, Head, Message, Pipe, Where};
pub use queue::{Attempt, Oldest, Queue, QueueBell, bell_threads};
pub use ring::{
    BLOCK_HEAD, Consumer, GLIMPSE_BYTES, Glimpse, Ledger, Phase, Producer, RING_BYTES, Report, current_item,
    forsake_worker, give_back, given, glimpse, is_called_off, is_interrupted, report_place,
};
pub use rows::{Outcome as RowOutcome, ROW_BYTES, Row, RowReader, RowWriter, begin_rows, end_rows, wanted_rows};
pub use slots::{MAX_WORKERS, SLOTS, Slots, Ticket};
pub use spin::Spin;
