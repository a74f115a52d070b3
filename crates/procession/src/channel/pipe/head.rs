//! The head that each message, or part of one, begins with on the stream.

use crate::error::{Error, ErrorKind, Result};

/// A small message is no longer than its head, so that one system call sends it and one receives it.
pub const HEAD_BYTES: usize = 128;
const FIELDS_BYTES: usize = 16;
/// The most bytes of a message within its head.
pub(super) const WITHIN_BYTES: usize = HEAD_BYTES - FIELDS_BYTES;

/// The longest message that is believed before its bytes are there.
const BELIEVED_BYTES: u64 = 1 << 40;

/// Where the bytes are that a head announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Where {
    /// In the head, and what does not fit there behind it on the stream.
    Stream = 1,
    /// In a block of the segment whose descriptor came with the first head of the message; more heads follow if the message is longer
    /// than a block.
    Block = 2,
    /// Nowhere: these are but descriptors of the message that comes next.
    Nowhere = 3,
}

/// What the fields of a head say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Where the message is.
    pub place: Where,
    /// How many descriptors came beside the head.
    pub files: u16,
    /// The number of the block.
    pub block: u32,
    /// The bytes of the whole message.
    pub size: usize,
}

impl Head {
    /// The head's bytes, with the beginning of the message if it lies there.
    pub(super) fn encode(&self, message: &[u8]) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[0] = self.place as u8;
        bytes[2..4].copy_from_slice(&self.files.to_ne_bytes());
        bytes[4..8].copy_from_slice(&self.block.to_ne_bytes());
        bytes[8..16].copy_from_slice(&(self.size as u64).to_ne_bytes());
        if self.place == Where::Stream {
            let within = &message[..message.len().min(WITHIN_BYTES)];
            bytes[FIELDS_BYTES..FIELDS_BYTES + within.len()].copy_from_slice(within);
        }
        bytes
    }

    /// What these bytes say, and the beginning of the message if it lies there.
    ///
    /// # Errors
    /// `Protocol` when they are no head.
    pub fn decode(bytes: &[u8; HEAD_BYTES]) -> Result<(Head, &[u8])> {
        let number = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let place = match bytes[0] {
            1 => Where::Stream,
            2 => Where::Block,
            3 => Where::Nowhere,
            _ => return Err(Error::new(ErrorKind::Protocol, "what arrived is not the beginning of a message")),
        };
        let size = u64::from_ne_bytes(bytes[8..16].try_into().expect("eight bytes"));
        let size = usize::try_from(size).ok().filter(|&size| size as u64 <= BELIEVED_BYTES);
        let size = size.ok_or_else(|| Error::new(ErrorKind::Protocol, "a message of impossible length"))?;
        let head = Head { place, files: u16::from_ne_bytes([bytes[2], bytes[3]]), block: number(4), size };
        let within = if place == Where::Stream { size.min(WITHIN_BYTES) } else { 0 };
        Ok((head, &bytes[FIELDS_BYTES..FIELDS_BYTES + within]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_comes_back(files in any::<u16>(), block in any::<u32>(), message in proptest::collection::vec(any::<u8>(), 0..300)) {
            for place in [Where::Stream, Where::Block, Where::Nowhere] {
                let head = Head { place, files, block, size: message.len() };
                let bytes = head.encode(&message);
                let (back, within) = Head::decode(&bytes).unwrap();
                prop_assert_eq!(back, head);
                prop_assert!(message.starts_with(within) && (place == Where::Stream || within.is_empty()));
            }
        }

        #[test]
        fn any_bytes_are_a_head_or_refused(bytes in any::<[u8; HEAD_BYTES]>()) {
            if let Ok((head, within)) = Head::decode(&bytes) {
                prop_assert!(head.size as u64 <= BELIEVED_BYTES && within.len() <= head.size);
            }
        }
    }
}
