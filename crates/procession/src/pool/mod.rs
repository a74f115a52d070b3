//! A pool: who runs what, and what happens when somebody dies. `README.md` beside this file has the states.

mod driver;
mod holdings;
mod life;
mod limits;
mod record;
mod scheduler;
mod worker;

pub use driver::{Batch, Death, Driver, Glance, Invitation, Outcome, Overdue, Payload, Waiter};
pub use holdings::Holdings;
pub use life::{Life, Stage, Verdict};
pub use limits::{Doing, Heavy, WorkerState};
pub use record::RecordHead;
pub use scheduler::{Chunk, Grant, JobId, Lost, Scheduler};
pub use worker::{Line, Turn, Worker};
