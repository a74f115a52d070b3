//! A pool: who runs what, and what happens when somebody dies. `README.md` beside this file has the states.

mod batch;
mod board;
mod driver;
mod holdings;
mod life;
mod limits;
mod look;
mod overflow;
mod record;
mod scheduler;
pub mod timeline;
mod worker;

pub use batch::{Batch, Death, Outcome, Payload};
pub use board::{BOARD_AT, Board, Content, Counts, ENTRIES, Entry, Job as JobView, Read, Title, content};
pub use driver::{Driver, Glance, Invitation, Overdue, Waiter};
pub use holdings::Holdings;
pub use life::{Life, Stage, Verdict};
pub use limits::{Doing, Heavy, TaskState, WorkerState};
pub use look::{Look, PoolView, Seen, WorkerView, stacks};
pub use record::{ItemLimits, RecordHead};
pub use scheduler::{Chunk, Grant, JobId, LEVELS, Lost, Scheduler, Unit, Wishes};
pub use worker::{Line, Turn, Worker};
