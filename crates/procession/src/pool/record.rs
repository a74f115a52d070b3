//! What the parent publishes: a head that the engine reads, and a body that only the two faces understand.

use super::scheduler::{Grant, JobId};

/// The bytes of a record's head.
pub(crate) const HEAD_BYTES: usize = 32;

/// The head of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordHead {
    /// The job that it belongs to.
    pub job: JobId,
    /// The first of its items, of those of the job.
    pub first: u64,
    /// How many items it has.
    pub count: u32,
    /// How many items make a chunk.
    pub chunk: u32,
    /// Whether the worker may give items back when they turn out slow.
    pub splittable: bool,
    /// Whether the worker notes when each item starts.
    pub timed: bool,
}

impl RecordHead {
    /// The head of the record that carries `grant`.
    pub fn of(grant: &Grant, timed: bool) -> RecordHead {
        let splittable = grant.count > grant.chunk;
        RecordHead { job: grant.job, first: grant.first, count: grant.count, chunk: grant.chunk, splittable, timed }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.job.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.chunk.to_le_bytes());
        bytes[16] = self.splittable.into();
        bytes[17] = self.timed.into();
        bytes[24..].copy_from_slice(&self.first.to_le_bytes());
        bytes
    }

    /// The head at the start of `bytes`, and the body; none if they are too short.
    pub fn decode(bytes: &[u8]) -> Option<(RecordHead, &[u8])> {
        let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let job = u64::from_le_bytes(*head.first_chunk()?);
        let first = u64::from_le_bytes(*head.last_chunk()?);
        let (splittable, timed) = (head[16] != 0, head[17] != 0);
        Some((RecordHead { job, first, count: number(8), chunk: number(12).max(1), splittable, timed }, body))
    }
}
