//! The chain of chunks that records run through, and its repair.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A place in the chain: a chunk, and an offset in it up to and with its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChainPlace {
    pub(super) chunk: u32,
    pub(super) offset: u32,
}

impl ChainPlace {
    pub(super) fn of(word: u64) -> ChainPlace {
        ChainPlace { chunk: (word >> 32) as u32, offset: word as u32 }
    }

    pub(super) fn word(self) -> u64 {
        u64::from(self.chunk) << 32 | u64::from(self.offset)
    }
}

impl Queue {
    /// Puts in order what an owner of the lock left when it died: counts the messages, and frees what holds none.
    ///
    /// Where a stray write has damaged the chain, what lies behind that place is lost, and the queue goes on without it.
    pub(super) fn repair(&self) {
        let used = self.used();
        let start = ChainPlace { chunk: 0, offset: 0 };
        let mut place = self.place(HEAD).unwrap_or(start);
        let tail = self.place(TAIL).unwrap_or(place);
        // A chain that bites its own tail is longer than all there is.
        let mut left = used * CHUNK_BYTES;
        let mut live = vec![false; used];
        let mut messages = 0;
        let mark = |live: &mut [bool], chunk: u32| {
            if let Some(live) = live.get_mut(chunk as usize) {
                *live = true;
            }
        };
        mark(&mut live, place.chunk);
        while place != tail {
            let Some((start, size)) = self.record(place) else { break };
            match left.checked_sub(RECORD_BYTES + padded(size)) {
                Some(fewer) => left = fewer,
                None => break,
            }
            let Some(end) = self.walk(start, padded(size), |chunk| mark(&mut live, chunk)) else { break };
            // A record may end just where its chunk does.
            mark(&mut live, start.chunk);
            mark(&mut live, end.chunk);
            place = end;
            messages += 1;
        }
        mark(&mut live, place.chunk);
        self.word64(TAIL).store(place.word(), Ordering::Release);
        if messages == 0 {
            self.word64(HEAD).store(place.word(), Ordering::Release);
        }
        self.word64(FREE).store(NONE.into(), Ordering::Relaxed);
        self.word64(FREE_COUNT).store(0, Ordering::Relaxed);
        for (chunk, _) in live.iter().enumerate().filter(|(_, live)| !**live) {
            self.free_chunk(chunk as u32);
        }
        // A message that came in or went out without being counted.
        let counts = self.word64(COUNTS);
        let counted = counts.load(Ordering::Relaxed) & MESSAGES;
        match messages {
            more if more > counted => counts.fetch_add((more - counted) * (ONE_DONE + 1), Ordering::AcqRel),
            fewer => counts.fetch_sub(counted - fewer, Ordering::AcqRel),
        };
        self.settle_bell();
    }

    /// The place that a word of the queue holds, if it is one.
    pub(super) fn place(&self, word: usize) -> Option<ChainPlace> {
        let place = ChainPlace::of(self.word64(word).load(Ordering::Acquire));
        let offset = place.offset as usize;
        let is_one = place.chunk < self.chunks && offset <= CHUNK_BYTES && offset.is_multiple_of(RECORD_BYTES);
        is_one.then_some(place)
    }

    /// How many chunks were ever in use.
    fn used(&self) -> usize {
        self.word64(USED).load(Ordering::Relaxed).min(self.chunks.into()) as usize
    }

    pub(super) fn next(&self, chunk: u32) -> Option<&AtomicU32> {
        (chunk < self.chunks).then(|| self.word32(NEXT + 4 * chunk as usize))
    }

    pub(super) fn chunk_start(&self, chunk: u32) -> usize {
        self.data + chunk as usize * CHUNK_BYTES
    }

    /// A chunk with its memory; the lock is held.
    pub(super) fn take_chunk(&self) -> Result<u32> {
        let free = self.word64(FREE).load(Ordering::Relaxed) as u32;
        let chunk = free & !GIVEN_BACK;
        if let Some(next) = self.next(chunk) {
            if free & GIVEN_BACK != 0 {
                self.memory.provide(self.chunk_start(chunk))?;
            }
            self.word64(FREE).store(next.load(Ordering::Relaxed).into(), Ordering::Relaxed);
            self.word64(FREE_COUNT).fetch_sub(1, Ordering::Relaxed);
            return Ok(chunk);
        }
        let used = self.word64(USED).load(Ordering::Relaxed);
        if used >= self.chunks.into() {
            return Err(Error::os("put", rustix::io::Errno::NOMEM.raw_os_error()));
        }
        let chunk = used as u32;
        self.memory.provide(self.chunk_start(chunk))?;
        self.word64(USED).store(used + 1, Ordering::Relaxed);
        Ok(chunk)
    }

    /// Gives a chunk back; the lock is held.
    pub(super) fn free_chunk(&self, chunk: u32) {
        let Some(next) = self.next(chunk) else { return };
        let before = self.word64(FREE).load(Ordering::Relaxed) as u32;
        next.store(before, Ordering::Relaxed);
        let many = self.word64(FREE_COUNT).fetch_add(1, Ordering::Relaxed) >= KEPT_CHUNKS;
        if many {
            self.memory.give_back(self.chunk_start(chunk));
        }
        self.word64(FREE).store((if many { chunk | GIVEN_BACK } else { chunk }).into(), Ordering::Relaxed);
    }

    /// The place where bytes at `place` really begin: that after the end of a chunk is the next one's start.
    pub(super) fn settled(&self, place: ChainPlace) -> Option<ChainPlace> {
        match place.offset as usize {
            ..CHUNK_BYTES => Some(place),
            _ => {
                let chunk = self.next(place.chunk)?.load(Ordering::Relaxed) & !GIVEN_BACK;
                (chunk < self.chunks).then_some(ChainPlace { chunk, offset: 0 })
            }
        }
    }

    /// The place `bytes` further on; tells `left` each chunk that lies behind then.
    pub(super) fn walk(
        &self,
        mut place: ChainPlace,
        mut bytes: usize,
        mut left: impl FnMut(u32),
    ) -> Option<ChainPlace> {
        loop {
            let here = (CHUNK_BYTES - place.offset as usize).min(bytes);
            place.offset += here as u32;
            bytes -= here;
            if bytes == 0 {
                return Some(place);
            }
            left(place.chunk);
            place = self.settled(place)?;
        }
    }

    /// The record at `place`: where its message begins, and its size.
    pub(super) fn record(&self, place: ChainPlace) -> Option<(ChainPlace, usize)> {
        let place = self.settled(place)?;
        let size = self.memory.number(self.chunk_start(place.chunk) + place.offset as usize)?;
        let size = usize::try_from(size).ok().filter(|&size| size <= self.used() * CHUNK_BYTES)?;
        Some((ChainPlace { offset: place.offset + RECORD_BYTES as u32, ..place }, size))
    }

    /// Writes a record, of a message made of two parts, from `place` on.
    #[inline]
    pub(super) fn write_record(&self, place: ChainPlace, head: &[u8], body: &[u8]) -> Result<ChainPlace> {
        let size = head.len() + body.len();
        let whole = RECORD_BYTES + padded(size);
        let (start, end) = (place.offset as usize, place.offset as usize + whole);
        // Most lie in one chunk near the queue's beginning: written in one go.
        if end <= CHUNK_BYTES && self.memory.write_record(self.chunk_start(place.chunk) + start, whole, head, body) {
            return Ok(ChainPlace { offset: end as u32, ..place });
        }
        self.write_parts(place, head, body)
    }

    fn write_parts(&self, place: ChainPlace, head: &[u8], body: &[u8]) -> Result<ChainPlace> {
        let size = head.len() + body.len();
        let padding = &[0; RECORD_BYTES][..padded(size) - size];
        let record = (size as u64).to_ne_bytes();
        [&record[..], head, body, padding].iter().try_fold(place, |place, part| self.write(place, part))
    }

    /// Writes `bytes` from `place` on, chaining chunks as needed.
    fn write(&self, mut place: ChainPlace, mut bytes: &[u8]) -> Result<ChainPlace> {
        while !bytes.is_empty() {
            if place.offset as usize == CHUNK_BYTES {
                let chunk = self.take_chunk()?;
                self.next(place.chunk).expect("a chunk in use lies in the file").store(chunk, Ordering::Relaxed);
                place = ChainPlace { chunk, offset: 0 };
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - place.offset as usize));
            if !self.memory.write(self.chunk_start(place.chunk) + place.offset as usize, now) {
                return Err(damaged());
            }
            place.offset += now.len() as u32;
            bytes = later;
        }
        Ok(place)
    }
}

pub(super) fn damaged() -> Error {
    Error::new(ErrorKind::Protocol, "the queue's memory is damaged")
}

pub(super) fn padded(size: usize) -> usize {
    size.next_multiple_of(RECORD_BYTES)
}
