//! What the parent publishes: a head that the engine reads, and a body that only the two faces understand.

use std::time::Duration;

use super::scheduler::{Grant, JobId};

/// The bytes of a record's head.
pub(crate) const HEAD_BYTES: usize = 32;

/// What each item of a record may take and has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// How long an item may run, in milliseconds, as far as that is known; 0: no limit.
    pub limit: u32,
    /// How often the items were tried before.
    pub tries: u16,
    /// Whether the worker notes when each item starts.
    pub timed: bool,
}

impl Given {
    /// Items with a limit, or without, that were tried so often before.
    pub fn new(limit: Option<Duration>, tries: u32) -> Given {
        let millis = |limit: Duration| u32::try_from(limit.as_millis().max(1)).unwrap_or(u32::MAX);
        Given { limit: limit.map_or(0, millis), tries: tries.min(u16::MAX.into()) as u16, timed: limit.is_some() }
    }
}

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
    /// What its items may take.
    pub given: Given,
}

impl RecordHead {
    /// The head of the record that carries `grant`.
    pub fn of(grant: &Grant, given: Given) -> RecordHead {
        let splittable = grant.count > grant.chunk;
        RecordHead { job: grant.job, first: grant.first, count: grant.count, chunk: grant.chunk, splittable, given }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.job.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.chunk.to_le_bytes());
        bytes[16] = self.splittable.into();
        bytes[17] = self.given.timed.into();
        bytes[18..20].copy_from_slice(&self.given.tries.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.given.limit.to_le_bytes());
        bytes[24..].copy_from_slice(&self.first.to_le_bytes());
        bytes
    }

    /// The head at the start of `bytes`, and the body; none if they are too short.
    pub fn decode(bytes: &[u8]) -> Option<(RecordHead, &[u8])> {
        let (head, body) = bytes.split_at_checked(HEAD_BYTES)?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let job = u64::from_le_bytes(*head.first_chunk()?);
        let first = u64::from_le_bytes(*head.last_chunk()?);
        let tries = u16::from_le_bytes([head[18], head[19]]);
        let given = Given { limit: number(20), tries, timed: head[17] != 0 };
        let splittable = head[16] != 0;
        Some((RecordHead { job, first, count: number(8), chunk: number(12).max(1), splittable, given }, body))
    }
}
