//! The frames that a worker writes into its result ring.

/// The bytes of a frame's head.
pub const FRAME_BYTES: usize = 16;

/// What a frame tells the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrameKind {
    /// An item's result.
    Returned = 1,
    /// An item's failure.
    Raised = 2,
    /// The record is worked off; the payload is the time it took, in nanoseconds (u64).
    Done = 3,
    /// The items from `item` on go back: others may be idle, or this worker leaves. The payload is as for `Done`.
    HandedBack = 4,
    /// The record's items cannot be told apart and one of them cannot be unpickled: send them one by one.
    Undecodable = 5,
    /// The worker has started.
    Ready = 6,
    /// The initializer failed; the payload is the failure.
    InitFailed = 7,
    /// The worker ends by itself after this.
    Leaving = 8,
    /// Small results of items in a row, from `item` on, each behind a byte with its size; [`RUN_END`] ends them. The
    /// frame grows while it is read: its size is 0.
    Run = 9,
    /// The worker still sees blocks of the record in place after it ends; the payload is their offsets (u64 each).
    Kept = 10,
    /// The worker sees blocks that it had kept no more; the payload is as for `Kept`.
    Dropped = 11,
    /// The record that the worker takes up may be its last: the next worker is to be started.
    Last = 12,
}

/// Stands where the size of a run's next result would.
pub const RUN_END: u8 = 0xff;

/// How many whole results of a run stand at the start of `bytes`, and how many bytes they take; and whether the run ends
/// after them.
#[inline]
pub fn measure_run(bytes: &[u8]) -> (u32, usize, bool) {
    let mut count = 0;
    let mut at = 0;
    while let Some(size) = bytes.get(at) {
        if *size == RUN_END {
            return (count, at, true);
        }
        let end = at + 1 + usize::from(*size);
        if end > bytes.len() {
            break;
        }
        at = end;
        count += 1;
    }
    (count, at, false)
}

impl FrameKind {
    fn from_byte(byte: u8) -> Option<FrameKind> {
        use FrameKind::*;
        [Returned, Raised, Done, HandedBack, Undecodable, Ready, InitFailed, Leaving, Run, Kept, Dropped, Last]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it tells.
    pub kind: FrameKind,
    /// Whether the payload lies in a block, and the frame holds its offset and length (two u64).
    pub large: bool,
    /// The low half of the ticket of the record.
    pub ticket: u32,
    /// The item within the record.
    pub item: u32,
    /// The bytes of the payload in the ring.
    pub size: u32,
}

impl Frame {
    /// The head's bytes.
    #[inline]
    pub fn encode(&self) -> [u8; FRAME_BYTES] {
        let mut bytes = [0; FRAME_BYTES];
        bytes[0..4].copy_from_slice(&self.size.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.ticket.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.item.to_le_bytes());
        bytes[12] = self.kind as u8;
        bytes[13] = self.large.into();
        bytes
    }

    /// The head at the start of `bytes`, and what follows its payload; none if it is cut off or makes no sense.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Option<(Frame, &[u8], &[u8])> {
        let head: &[u8; FRAME_BYTES] = bytes.first_chunk()?;
        let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let kind = FrameKind::from_byte(head[12])?;
        let frame = Frame { kind, large: head[13] != 0, size: number(0), ticket: number(4), item: number(8) };
        let end = FRAME_BYTES + frame.size as usize;
        let payload = bytes.get(FRAME_BYTES..end)?;
        let rest = bytes.get(end..)?;
        Some((frame, payload, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some((frame, payload, rest)) = Frame::decode(&bytes) {
                prop_assert_eq!(payload.len(), frame.size as usize);
                prop_assert_eq!(FRAME_BYTES + payload.len() + rest.len(), bytes.len());
            }
        }

        #[test]
        fn a_run_never_reaches_beyond_its_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let (count, size, ended) = measure_run(&bytes);
            prop_assert!(size <= bytes.len() && count as usize <= size);
            prop_assert!(!ended || bytes[size] == RUN_END);
        }

        #[test]
        fn a_frame_comes_back(ticket in any::<u32>(), item in any::<u32>(), payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let frame = Frame { kind: FrameKind::Raised, large: false, ticket, item, size: payload.len() as u32 };
            let mut bytes = frame.encode().to_vec();
            bytes.extend(&payload);
            let (back, its_payload, rest) = Frame::decode(&bytes).unwrap();
            prop_assert_eq!(back, frame);
            prop_assert_eq!(its_payload, &payload[..]);
            prop_assert!(rest.is_empty());
        }
    }
}
