//! `Seed`: what a task draws its random numbers from, the same in both languages.

use std::fmt;

use crate::platform;

/// How many words are mixed into each other.
const POOL_WORDS: usize = 4;
const SHIFT: u32 = 16;

/// What random numbers are drawn from: that of the first program to do so, or the child of one.
///
/// It is mixed by the algorithm of numpy's [`SeedSequence`](https://numpy.org/doc/stable/reference/random/bit_generators/generated/numpy.random.SeedSequence.html):
/// `Seed::from(7).child(3)` has the words of `SeedSequence(7).spawn(4)[3]`, and children, of children too, are as good as
/// independent of each other. Any generator takes them:
///
/// | generator | is made by |
/// |---|---|
/// | of the crate `rand` | `StdRng::from_seed(seed.bytes())` |
/// | that takes a number | `Generator::new(seed.number())` |
/// | that takes words | `Generator::new(seed.words())` |
///
/// ```
/// use procession::Seed;
///
/// let seed = Seed::from(2024).child(3);
/// assert_eq!(seed, Seed::from(2024).child(3));
/// assert_ne!(seed.number(), Seed::from(2024).child(4).number());
/// let words: [u32; 4] = seed.words();
/// assert_eq!(u64::from(words[0]) | u64::from(words[1]) << 32, seed.number());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Seed {
    /// The numbers of the first seed, then the places of children, of children too.
    entropy: Vec<u64>,
    key: Vec<u64>,
}

/// The words of numbers, of each as few as it needs.
fn words_of(numbers: &[u64]) -> Vec<u32> {
    let words =
        |number: &u64| std::iter::once(*number as u32).chain(Some((number >> 32) as u32).filter(|high| *high != 0));
    numbers.iter().flat_map(words).collect()
}

/// Turns words into others, which no simple sum of the first shows in.
struct Mixer {
    constant: u32,
    factor: u32,
}

impl Mixer {
    /// For what goes into the pool, and for what comes out of it.
    const IN: Mixer = Mixer { constant: 0x43b0_d7e5, factor: 0x931e_8875 };
    const OUT: Mixer = Mixer { constant: 0x8b51_f9dd, factor: 0x58f3_8ded };

    fn next(&mut self, word: u32) -> u32 {
        let word = word ^ self.constant;
        self.constant = self.constant.wrapping_mul(self.factor);
        let word = word.wrapping_mul(self.constant);
        word ^ word >> SHIFT
    }
}

/// One word of two.
fn joined(left: u32, right: u32) -> u32 {
    let word = left.wrapping_mul(0xca01_f9dd).wrapping_sub(right.wrapping_mul(0x4973_f715));
    word ^ word >> SHIFT
}

impl Seed {
    /// One that nobody knows, from the system.
    ///
    /// ```
    /// assert_ne!(procession::Seed::random(), procession::Seed::random());
    /// ```
    pub fn random() -> Seed {
        let (low, high) = (platform::random_bytes(), platform::random_bytes());
        Seed::from([u64::from_le_bytes(low), u64::from_le_bytes(high)])
    }

    /// The seed of a part, from 0.
    ///
    /// ```
    /// let seeds: Vec<u64> = (0..3).map(|part| procession::Seed::from(1).child(part).number()).collect();
    /// assert!(seeds[0] != seeds[1] && seeds[1] != seeds[2]);
    /// ```
    pub fn child(&self, number: u64) -> Seed {
        let mut child = self.clone();
        child.key.push(number);
        child
    }

    /// Its first `N` words, which more of them begin with: what numpy's `generate_state(N)` gives.
    ///
    /// ```
    /// let two: [u32; 2] = procession::Seed::from(42).words();
    /// assert_eq!(two, [3444837047, 2669555309]);
    /// ```
    pub fn words<const N: usize>(&self) -> [u32; N] {
        let (pool, mut mixer) = (self.pool(), Mixer::OUT);
        std::array::from_fn(|at| mixer.next(pool[at % POOL_WORDS]))
    }

    /// Its first `N` bytes: those of its words, the lowest of each first.
    ///
    /// ```
    /// // StdRng::from_seed(seed.bytes())
    /// let bytes: [u8; 32] = procession::Seed::from(42).bytes();
    /// assert_eq!(bytes[..4], 3444837047u32.to_le_bytes());
    /// ```
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let (pool, mut mixer, mut bytes) = (self.pool(), Mixer::OUT, [0; N]);
        for (at, chunk) in bytes.chunks_mut(4).enumerate() {
            chunk.copy_from_slice(&mixer.next(pool[at % POOL_WORDS]).to_le_bytes()[..chunk.len()]);
        }
        bytes
    }

    /// A number of it: what numpy's `generate_state(1, "uint64")` gives.
    ///
    /// ```
    /// assert_ne!(procession::Seed::from(1).number(), procession::Seed::from(2).number());
    /// ```
    pub fn number(&self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    fn pool(&self) -> [u32; POOL_WORDS] {
        // What is there of the first seed has the same room whatever children follow.
        let mut words = words_of(&self.entropy);
        if !self.key.is_empty() {
            words.resize(words.len().max(POOL_WORDS), 0);
            words.append(&mut words_of(&self.key));
        }
        let mut words = words.into_iter();
        let mut mixer = Mixer::IN;
        let mut pool = [0; POOL_WORDS].map(|_: u32| mixer.next(words.next().unwrap_or(0)));
        for from in 0..POOL_WORDS {
            for to in (0..POOL_WORDS).filter(|to| *to != from) {
                pool[to] = joined(pool[to], mixer.next(pool[from]));
            }
        }
        for word in words {
            for place in &mut pool {
                *place = joined(*place, mixer.next(word));
            }
        }
        pool
    }

    /// Its bytes, for a record.
    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [&[self.entropy.len() as u64], &self.entropy[..], &self.key[..]].concat();
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// The seed of these bytes; none of others.
    pub(super) fn decode(bytes: &[u8]) -> Option<Seed> {
        let numbers = bytes.chunks_exact(8).map(|number| u64::from_le_bytes(number.try_into().expect("eight bytes")));
        let numbers: Vec<u64> = numbers.collect();
        let (count, numbers) = numbers.split_first()?;
        let (entropy, key) = numbers.split_at_checked(usize::try_from(*count).ok()?)?;
        Some(Seed { entropy: entropy.to_vec(), key: key.to_vec() })
    }

    /// The numbers of the first seed, and the places of the children that lead to this one.
    pub(super) fn numbers(&self) -> (&[u64], &[u64]) {
        (&self.entropy, &self.key)
    }
}

/// As numpy's `SeedSequence(number)`.
impl From<u64> for Seed {
    fn from(number: u64) -> Seed {
        Seed::from([number])
    }
}

/// Of several numbers, as numpy's `SeedSequence([a, b])`.
impl<const N: usize> From<[u64; N]> for Seed {
    fn from(numbers: [u64; N]) -> Seed {
        Seed { entropy: numbers.into(), key: Vec::new() }
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed({:?}, {:?})", self.entropy, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_comes_back_from_its_bytes() {
        for seed in [Seed::from(0), Seed::from([7, 1 << 40]).child(0).child(u64::MAX), Seed::random().child(3)] {
            assert_eq!(Seed::decode(&seed.encode()), Some(seed.clone()));
        }
        assert_eq!(Seed::decode(&[]), None);
        assert_eq!(Seed::decode(&9u64.to_le_bytes()), None);
    }

    #[test]
    fn words_are_those_that_more_of_them_begin_with() {
        let seed = Seed::from(5).child(1);
        let (few, many): ([u32; 3], [u32; 9]) = (seed.words(), seed.words());
        assert_eq!(few, many[..3]);
        let bytes: [u8; 7] = seed.bytes();
        assert_eq!(bytes[..4], few[0].to_le_bytes());
        assert_eq!(bytes[4..], few[1].to_le_bytes()[..3]);
    }
}
