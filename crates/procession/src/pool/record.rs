//! What the parent publishes: a head that the engine reads, and a body that only the two faces understand.

use std::time::Duration;

use super::scheduler::{Grant, JobId, Unit};

/// The bytes of a record's head.
pub(crate) const HEAD_BYTES: usize = 32;

/// What each item of a record may take and has taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ItemLimits {
    /// How long an item may run, in milliseconds, as far as that is known; 0: no limit.
    pub limit: u32,
    /// How often the items were tried before.
    pub tries: u16,
    /// Whether the worker notes when each item starts.
    pub timed: bool,
}

impl ItemLimits {
    /// Items with a limit, or without, that were tried so often before.
    pub fn new(limit: Option<Duration>, tries: u32) -> ItemLimits {
        let millis = |limit: Duration| u32::try_from(limit.as_millis().max(1)).unwrap_or(u32::MAX);
        ItemLimits { limit: limit.map_or(0, millis), tries: tries.min(u16::MAX.into()) as u16, timed: limit.is_some() }
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
    pub given: ItemLimits,
    /// Whether it holds units, which stand between head and body.
    pub has_units: bool,
}

/// The bytes of a unit, and of their number, which stands before them.
const UNIT_BYTES: usize = 3;
const COUNT_BYTES: usize = 2;

/// Units as they stand in a record.
pub(crate) fn encode_units(units: &[Unit]) -> Vec<u8> {
    let mut bytes = (units.len() as u16).to_le_bytes().to_vec();
    for (kind, number) in units {
        bytes.push(*kind);
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Takes the units of the record with `head` out of its bytes, so that its body follows the head.
pub(crate) fn take_units(head: &RecordHead, bytes: &mut Vec<u8>) -> Vec<Unit> {
    let Some(count) = bytes.get(HEAD_BYTES..).and_then(<[u8]>::first_chunk).filter(|_| head.has_units) else {
        return Vec::new();
    };
    let size = COUNT_BYTES + UNIT_BYTES * usize::from(u16::from_le_bytes(*count));
    let end = (HEAD_BYTES + size).min(bytes.len());
    let taken: Vec<u8> = bytes.drain(HEAD_BYTES..end).collect();
    taken[COUNT_BYTES..]
        .chunks_exact(UNIT_BYTES)
        .map(|unit| (unit[0], u16::from_le_bytes([unit[1], unit[2]])))
        .collect()
}

impl RecordHead {
    /// The head of the record that carries `grant`.
    pub fn of(grant: &Grant, given: ItemLimits) -> RecordHead {
        let splittable = grant.count > grant.chunk;
        RecordHead {
            job: grant.job,
            first: grant.first,
            count: grant.count,
            chunk: grant.chunk,
            splittable,
            given,
            has_units: false,
        }
    }

    /// Its bytes.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.job.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.count.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.chunk.to_le_bytes());
        bytes[16] = self.splittable.into();
        bytes[17] = u8::from(self.given.timed) | u8::from(self.has_units) << 1;
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
        let given = ItemLimits { limit: number(20), tries, timed: head[17] & 1 != 0 };
        let (splittable, has_units) = (head[16] != 0, head[17] & 2 != 0);
        Some((
            RecordHead { job, first, count: number(8), chunk: number(12).max(1), splittable, given, has_units },
            body,
        ))
    }
}
