//! What came in by one look at the workers of a pool.

use std::sync::Arc;

use crate::pool::scheduler::{JobId, Lost};
use crate::shared_memory::Segment;

/// Where a payload lies in [`Batch::bytes`].
pub type Payload = std::ops::Range<usize>;

/// The outcome of an item, or the small results of several in a row.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The job.
    pub job: JobId,
    /// The item, or the first of them.
    pub item: u64,
    /// None for one item; how many results stand in the payload, each behind a byte with its size.
    pub run: Option<u32>,
    /// Whether it returned (or raised).
    pub returned: bool,
    /// The segment of its worker, with the large parts of the payload; it also tells the workers apart.
    pub segment: Option<Arc<Segment>>,
    /// Where its payload lies.
    pub payload: Payload,
}

/// A worker that has ended.
#[derive(Clone, Debug)]
pub struct Death {
    /// Its seat.
    pub index: usize,
    /// The items that were lost with it.
    pub lost: Vec<Lost>,
    /// Whether it died before it was ready.
    pub starting: bool,
    /// Whether it had said that it would end.
    pub expected: bool,
    /// Its segment: [`crate::channel::forsake_worker`] when its last results are rebuilt.
    pub segment: Arc<Segment>,
    /// Whether it had worked for nobody: no item has an outcome from it, and it held no record.
    pub idle: bool,
}

/// What came in by one look at the workers.
#[derive(Debug, Default)]
pub struct Batch {
    /// The payloads.
    pub bytes: Vec<u8>,
    /// Outcomes, in the order of each worker.
    pub outcomes: Vec<Outcome>,
    /// Workers that have become ready.
    pub ready: Vec<usize>,
    /// Workers that may have taken up their last record.
    pub last: Vec<usize>,
    /// Workers that end by themselves.
    pub leaving: Vec<usize>,
    /// Failures of the initializer.
    pub init_failed: Vec<Payload>,
    /// Workers that ended.
    pub deaths: Vec<Death>,
}

impl Batch {
    /// Whether nothing came in.
    pub fn is_empty(&self) -> bool {
        self.outcomes.is_empty()
            && self.ready.is_empty()
            && self.last.is_empty()
            && self.leaving.is_empty()
            && self.init_failed.is_empty()
            && self.deaths.is_empty()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        if self.bytes.capacity() > 4 << 20 {
            self.bytes = Vec::new();
        }
        self.outcomes.clear();
        self.ready.clear();
        self.last.clear();
        self.leaving.clear();
        self.init_failed.clear();
        self.deaths.clear();
    }
}
