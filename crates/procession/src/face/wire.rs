//! The body of a record: which function, then the items.

use crate::error::{Error, ErrorKind, Result};
use crate::function::Failure;

fn cut_off() -> Error {
    Error::new(ErrorKind::Protocol, "a record that ends too early")
}

fn word(bytes: &mut &[u8]) -> Result<u64> {
    let (word, rest) = bytes.split_first_chunk().ok_or_else(cut_off)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*word))
}

/// What all items of a record share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Preamble<'a> {
    /// Names the function in this executable.
    pub crossing: u64,
    /// Names the function with its context or state in this pool.
    pub routine: u64,
    /// Where its context lies in the pool's segment.
    pub context_at: u64,
    /// The bytes of the context; 0 when there is none.
    pub context_size: u64,
    /// The bytes of the seed that its tasks have children of; none without.
    pub seed: &'a [u8],
}

impl<'a> Preamble<'a> {
    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        for word in [self.crossing, self.routine, self.context_at, self.context_size, self.seed.len() as u64] {
            into.extend_from_slice(&word.to_le_bytes());
        }
        into.extend_from_slice(self.seed);
    }

    /// Gives the encoded preamble `bytes` a seed, in place of the one that it has.
    pub(crate) fn seed(bytes: &mut Vec<u8>, seed: &[u8]) {
        bytes.truncate(4 * 8);
        bytes.extend_from_slice(&(seed.len() as u64).to_le_bytes());
        bytes.extend_from_slice(seed);
    }

    /// Takes it from the start of `bytes`.
    pub(crate) fn decode(bytes: &mut &'a [u8]) -> Result<Preamble<'a>> {
        let (crossing, routine, context_at, context_size) = (word(bytes)?, word(bytes)?, word(bytes)?, word(bytes)?);
        let size = usize::try_from(word(bytes)?).map_err(|_| cut_off())?;
        let (seed, rest) = bytes.split_at_checked(size).ok_or_else(cut_off)?;
        *bytes = rest;
        Ok(Preamble { crossing, routine, context_at, context_size, seed })
    }
}

/// Where a part of a value lies in its sender's segment: its offset there, and its bytes.
pub(super) type PartPlace = (u64, u64);

/// Adds where the parts of a record's items lie, each with the number of its item in the record; stands between preamble and
/// items of a record for another language.
pub(super) fn encode_places(places: &[(u32, PartPlace)], into: &mut Vec<u8>) {
    into.extend_from_slice(&(places.len() as u64).to_le_bytes());
    for (item, (offset, size)) in places {
        for word in [u64::from(*item), *offset, *size] {
            into.extend_from_slice(&word.to_le_bytes());
        }
    }
}

/// The words of a list from the start of `bytes`, `each` for each of its entries, whose number comes first.
fn words_of<'a>(bytes: &mut &'a [u8], each: usize) -> Result<impl Iterator<Item = u64> + use<'a>> {
    let size = usize::try_from(word(bytes)?).ok().and_then(|count| count.checked_mul(each * 8)).ok_or_else(cut_off)?;
    let (words, rest) = bytes.split_at_checked(size).ok_or_else(cut_off)?;
    *bytes = rest;
    Ok(words.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word)))
}

/// Takes what [`encode_places`] adds from the start of `bytes`.
pub(super) fn decode_places(bytes: &mut &[u8]) -> Result<Vec<(u32, PartPlace)>> {
    let mut words = words_of(bytes, 3)?;
    let mut places = Vec::new();
    while let (Some(item), Some(offset), Some(size)) = (words.next(), words.next(), words.next()) {
        places.push((u32::try_from(item).map_err(|_| cut_off())?, (offset, size)));
    }
    Ok(places)
}

/// Stands where the count of descriptors would.
const FAILURE: u64 = 0xffff;

/// An argument: the numbers of its descriptors, and its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Item<'a> {
    numbers: &'a [u8],
    pub bytes: &'a [u8],
    /// Whether the bytes are the words of a failure.
    pub is_failure: bool,
}

impl<'a> Item<'a> {
    /// Adds an item: `write` adds its bytes, and gives the numbers of its descriptors.
    pub(crate) fn encode<E>(
        into: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> std::result::Result<Vec<u64>, E>,
    ) -> std::result::Result<(), E> {
        let start = into.len();
        into.extend_from_slice(&[0; 8]);
        let numbers = match write(into) {
            Ok(numbers) => numbers,
            Err(error) => {
                into.truncate(start);
                return Err(error);
            }
        };
        let size = (into.len() - start - 8) as u64 | (numbers.len() as u64) << 48;
        into[start..start + 8].copy_from_slice(&size.to_le_bytes());
        numbers.iter().for_each(|number| into.extend_from_slice(&number.to_le_bytes()));
        Ok(())
    }

    /// Adds an item that fails in the worker with these words, in the place of one that could not be encoded.
    pub(crate) fn encode_failure(into: &mut Vec<u8>, message: &str) {
        let size = message.len() as u64 | FAILURE << 48;
        into.extend_from_slice(&size.to_le_bytes());
        into.extend_from_slice(message.as_bytes());
    }

    /// Takes it from the start of `bytes`.
    pub(crate) fn decode(bytes: &mut &'a [u8]) -> Result<Item<'a>> {
        let size = word(bytes)?;
        let count = size >> 48;
        let is_failure = count == FAILURE;
        let (own, rest) = bytes.split_at_checked((size & ((1 << 48) - 1)) as usize).ok_or_else(cut_off)?;
        let count = if is_failure { 0 } else { count as usize };
        let (numbers, rest) = rest.split_at_checked(count * 8).ok_or_else(cut_off)?;
        *bytes = rest;
        Ok(Item { numbers, bytes: own, is_failure })
    }

    /// The numbers of its descriptors.
    pub(crate) fn files(&self) -> impl Iterator<Item = u64> + 'a {
        self.numbers.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().expect("eight bytes")))
    }
}

/// What came of a task that is more than bytes of a result.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    Failed(Failure),
    /// A result, which notes of which worker have its descriptors, how many they are, and where its parts lie in the worker's
    /// segment.
    Attached {
        index: u64,
        note: u64,
        count: u64,
        parts: Vec<PartPlace>,
        bytes: &'a [u8],
    },
}

impl<'a> Reply<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Reply::Failed(failure) => [&[0], &failure.encode()[..]].concat(),
            Reply::Attached { index, note, count, parts, bytes } => {
                let words = [index, note, count, &(parts.len() as u64)].map(|word| word.to_le_bytes()).concat();
                let places: Vec<u8> =
                    parts.iter().flat_map(|(offset, size)| [*offset, *size]).flat_map(u64::to_le_bytes).collect();
                [&[1], &words[..], &places, bytes].concat()
            }
        }
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Reply<'a> {
        let attached = |mut bytes: &'a [u8]| {
            let (index, note, count) = (word(&mut bytes)?, word(&mut bytes)?, word(&mut bytes)?);
            let mut words = words_of(&mut bytes, 2)?;
            let mut parts = Vec::new();
            while let (Some(offset), Some(size)) = (words.next(), words.next()) {
                parts.push((offset, size));
            }
            Ok(Reply::Attached { index, note, count, parts, bytes })
        };
        match bytes.split_first() {
            Some((0, failure)) => Reply::Failed(Failure::decode(failure)),
            Some((_, rest)) => attached(rest)
                .unwrap_or_else(|error: Error| Reply::Failed(Failure::Codec { message: error.to_string() })),
            None => Reply::Failed(Failure::decode(&[])),
        }
    }
}

/// Takes the body of a record, or a reply, apart, whatever it is.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn decode_body(mut bytes: &[u8]) {
    if let Reply::Attached { bytes: own, .. } = Reply::decode(bytes) {
        assert!(own.len() < bytes.len());
    }
    let _ = Preamble::decode(&mut bytes);
    let _ = decode_places(&mut &bytes[..]);
    while let Ok(item) = Item::decode(&mut bytes) {
        assert!(item.files().count() * 8 == item.numbers.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn records_come_back(words in any::<[u64; 4]>(), numbers in any::<Vec<u64>>(), argument in any::<Vec<u8>>(),
                             seed in any::<Vec<u8>>()) {
            let [crossing, routine, context_at, context_size] = words;
            let preamble = Preamble { crossing, routine, context_at, context_size, seed: &seed };
            let mut bytes = Vec::new();
            preamble.encode(&mut bytes);
            Item::encode(&mut bytes, |into| {
                into.extend_from_slice(&argument);
                Ok::<_, ()>(numbers.clone())
            }).unwrap();
            Item::encode_failure(&mut bytes, "no");
            let mut rest = &bytes[..];
            prop_assert_eq!(Preamble::decode(&mut rest).unwrap(), preamble);
            let mut other = Vec::new();
            Preamble { seed: b"another", ..preamble }.encode(&mut other);
            Preamble::seed(&mut other, &seed);
            prop_assert_eq!(Preamble::decode(&mut &other[..]).unwrap(), preamble);
            let item = Item::decode(&mut rest).unwrap();
            prop_assert_eq!(item.files().collect::<Vec<_>>(), numbers);
            prop_assert_eq!(item.bytes, &argument[..]);
            prop_assert!(!item.is_failure);
            let item = Item::decode(&mut rest).unwrap();
            prop_assert!(item.is_failure && item.bytes == b"no");
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn replies_come_back(words in any::<[u64; 3]>(), parts in any::<Vec<PartPlace>>(), bytes in any::<Vec<u8>>(),
                             message in any::<String>()) {
            let [index, note, count] = words;
            let attached = Reply::Attached { index, note, count, parts, bytes: &bytes };
            let encoded = attached.encode();
            prop_assert_eq!(Reply::decode(&encoded), attached);
            let failed = Reply::Failed(Failure::Codec { message });
            let encoded = failed.encode();
            prop_assert_eq!(Reply::decode(&encoded), failed);
        }

        #[test]
        fn places_come_back(places in any::<Vec<(u32, PartPlace)>>(), rest in any::<Vec<u8>>()) {
            let mut bytes = Vec::new();
            encode_places(&places, &mut bytes);
            bytes.extend_from_slice(&rest);
            let mut left = &bytes[..];
            prop_assert_eq!(decode_places(&mut left).unwrap(), places);
            prop_assert_eq!(left, &rest[..]);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes in any::<Vec<u8>>()) {
            let _ = Preamble::decode(&mut &bytes[..]);
            let _ = decode_places(&mut &bytes[..]);
            let _ = Item::decode(&mut &bytes[..]);
            let _ = Reply::decode(&bytes);
        }
    }
}
