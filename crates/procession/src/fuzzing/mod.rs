//! Each decoder of the engine under bytes of any kind: for the fuzz targets in `fuzz/`, and for a short run in the tests.
//!
//! A target takes bytes that a process gone wrong may have written. It may refuse them; it must not panic, read or write
//! where it should not, run for ever, or take memory that the bytes merely speak of.

mod seeds;

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Instant;

use crate::channel::neutral::{Reader, Token, WIRE_VERSION};
use crate::channel::{
    Attempt, Consumer, FRAME_BYTES, Frame, FrameKind, HEAD_BYTES, PIPE_SEGMENT_BYTES, Pipe, Producer, Queue, Receiving,
    SLOTS, Slots, measure_run, receive_body, shown,
};
use crate::face::decode_body;
use crate::function::{Array, Bare, Bytes, Failure, arrived, decode, decode_neutral, decode_owned, fetch, receiving};
use crate::platform::{self, Mapping, Stream};
use crate::pool::{Content, ENTRIES, RecordHead, content};
use crate::shared_memory::{Segment, copy_in, copy_out, copy_to, word32, word64};
use crate::sync::{Barrier, Cell, Event, Lock, RLock, Semaphore, Waiters};

pub use seeds::seeds;

/// A name and what it does with bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("frame", frame),
    ("ring", ring),
    ("slots", slots),
    ("record", record),
    ("codec", codec),
    ("neutral", neutral),
    ("routine", routine),
    ("rights", rights),
    ("message", message),
    ("pipe", pipe),
    ("sync", sync),
    ("arena", arena),
    ("queue", queue),
    ("look", look),
];

/// Takes numbers from the front of the bytes; zeros when there are no more.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        let count = self.0.len().min(N);
        taken[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        taken
    }

    fn byte(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// Writes some words over those within the first `limit` bytes of a mapping.
    fn scribble(&mut self, mapping: &Mapping, limit: usize) {
        for _ in 0..self.byte() % 24 {
            let at = usize::from(u16::from_le_bytes(self.array())) * 8 % limit;
            // Small numbers, which are offsets and counts, as often as large ones.
            let value = match self.byte() {
                0..64 => u64::from(self.byte()),
                64..128 => u64::from(u16::from_le_bytes(self.array())) << (self.byte() % 49),
                _ => self.word(),
            };
            copy_in(mapping, at, &value.to_ne_bytes());
        }
    }
}

/// Frames of a result ring, and the runs of small results in them.
pub fn frame(bytes: &[u8]) {
    let mut rest = bytes;
    while let Some((frame, payload, after)) = Frame::decode(rest) {
        assert_eq!(payload.len(), frame.size as usize);
        assert_eq!(after.len() + payload.len() + FRAME_BYTES, rest.len());
        rest = after;
        if frame.kind == FrameKind::Run {
            let (count, size, _) = measure_run(rest);
            assert!(count as usize <= size && size <= rest.len());
            rest = &rest[size..];
        }
    }
    let (_, size, _) = measure_run(bytes);
    assert!(size <= bytes.len());
}

/// What a pool and a worker show of themselves, as somebody reads it who looks from outside.
pub fn look(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    // What changed between the two looks, or nothing.
    let second = if kind % 2 == 0 { bytes } else { &bytes[bytes.len() / 2..] };
    let is_clean = |text: &str, most: usize| text.chars().count() <= most && !text.chars().any(char::is_control);
    match content(bytes, second) {
        Some(Content::Pool(board)) => {
            assert!(board.jobs.len() <= ENTRIES && is_clean(&board.name, 255) && is_clean(&board.method, 255));
            assert!(board.jobs.iter().all(|job| is_clean(&job.function, 255) && is_clean(&job.method, 255)));
        }
        Some(Content::Other(version)) => assert!(is_clean(&version, 255)),
        None => {}
    }
    if let Some(shown) = shown(bytes, second) {
        let _ = (shown.now.current(), shown.now.is_working());
        assert!(is_clean(&shown.given, 255) && shown.said.is_none_or(|said| is_clean(&said.text, 255)));
    }
}

/// The words, the ring and the blocks of a worker's segment, as its parent reads them.
pub fn ring(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Ok(mut consumer) = Consumer::create(1 << 30) else { return };
    let Ok(mut producer) = consumer.descriptor().and_then(Producer::open) else { return };
    let segment = consumer.segment().clone();
    let mut out = Vec::new();
    for _ in 0..4 {
        if input.byte() % 2 == 0 {
            let kind = if input.byte() % 2 == 0 { FrameKind::Returned } else { FrameKind::Run };
            let size = usize::from(input.byte()).min(input.0.len());
            let payload = &input.0[..size];
            let _ = producer.write(kind, 7, 3, payload, &mut || Err(crate::Error::os("full", 11)));
            producer.publish();
            producer.announce();
        }
        input.scribble(segment.mapping(), 4096);
        let _ = (consumer.is_ready(), Consumer::has_announced(&segment), consumer.ledger(), consumer.running_since());
        let _ = crate::channel::is_interrupted(&segment);
        out.clear();
        if !consumer.drain(&mut out) {
            return;
        }
        frame(&out);
        let place: [u8; 16] = input.array();
        out.clear();
        // So large a block is only copied where the segment has it.
        if u64::from_le_bytes(*place.last_chunk().expect("sixteen bytes")) < 1 << 20 {
            consumer.collect(&place, &mut out);
            assert!(out.len() < 1 << 20);
        }
        crate::channel::give_back(&segment, input.word() as usize, input.word() as usize);
    }
}

/// The slots that tasks lie in, as workers and the parent read them.
pub fn slots(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Ok(segment) = Segment::create("fuzz", Slots::END, true) else { return };
    let segment = Arc::new(segment);
    let slots = Slots::new(segment.clone());
    for _ in 0..8 {
        match input.byte() % 8 {
            0 => drop(slots.publish(&input.array::<24>(), None)),
            1 => drop(slots.publish(&[], Some((input.word(), input.word())))),
            2 => drop(slots.revoke(input.word())),
            3 => drop(slots.revoke_low(input.word() as u32)),
            4 => assert!(slots.reclaim(input.byte().into()).len() <= SLOTS),
            5 => slots.free(input.word()),
            6 => input.scribble(segment.mapping(), 192),
            _ => input.scribble(segment.mapping(), Slots::END),
        }
        let _ = (slots.is_ready(), slots.unclaimed());
        for _ in 0..3 {
            let Some(ticket) = slots.claim(usize::from(input.byte())) else { break };
            let mut body = Vec::new();
            slots.read(ticket, &mut body);
            assert!(body.len() <= Slots::INLINE_BYTES);
            record(&body);
        }
    }
}

/// The head and the body of a record: which function, then the items.
pub fn record(bytes: &[u8]) {
    if let Some((head, body)) = RecordHead::decode(bytes) {
        assert!(head.chunk > 0);
        decode_body(body);
    }
    decode_body(bytes);
}

/// Whatever the bytes are, nothing of ours may panic over them; of other panics a reader makes an error.
fn whole<T>(decoded: Result<T, String>) {
    if let Err(reason) = decoded {
        assert!(!reason.contains("it panicked"), "{reason}");
    }
}

/// Values of several types.
pub fn codec(bytes: &[u8]) {
    type Several = (String, Vec<u32>, Option<Bytes>, Vec<(u8, i64)>, std::collections::BTreeMap<String, Vec<bool>>);
    whole(decode::<Several>(bytes));
    whole(decode::<Vec<Vec<String>>>(bytes));
    whole(decode::<Result<char, Box<(f64, [u16; 3])>>>(bytes));
    whole(decode::<Vec<f64>>(bytes));
    whole(decode::<Vec<u8>>(bytes));
    whole(decode::<std::time::Duration>(bytes));
    whole(decode_owned::<Vec<u8>>(bytes.to_vec()));
    whole(decode_owned::<(u8, u8)>(bytes.to_vec()));
    let _ = Failure::decode(bytes);
}

/// Values that programs of another language write: token by token, as a binding rebuilds them, and as Rust values.
pub fn neutral(bytes: &[u8]) {
    type Several = (String, Vec<u32>, Option<Bytes>, Vec<(u8, i64)>, std::collections::BTreeMap<String, Vec<bool>>);
    let mut reader = Reader::new(bytes);
    let mut taken = 0;
    while let Ok(token) = reader.token() {
        taken += 1;
        match token {
            Token::Array { items, .. } => assert!(items.len() < bytes.len()),
            Token::Text(text) => assert!(text.len() < bytes.len()),
            Token::List(count) | Token::Tuple(count) => assert!(count < bytes.len() as u64),
            Token::Dict(count) => assert!(2 * count < bytes.len() as u64),
            _ => {}
        }
    }
    assert!(taken <= bytes.len());
    whole(decode_neutral::<Several>(bytes));
    whole(decode_neutral::<Result<char, Box<(f64, [u16; 3])>>>(bytes));
    whole(decode_neutral::<(Array<f64>, Array<u8>)>(bytes));
    whole(decode_neutral::<Vec<f32>>(bytes));
    whole(decode_neutral::<crate::Event>(bytes));
}

fn lengths((text, numbers): (String, Vec<u16>)) -> usize {
    text.len() + numbers.len()
}

/// The distance of a function in the executable, and the argument of one.
pub fn routine(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Ok(here) = Bare::crossing(lengths) else { return };
    let near = i64::from(input.array::<1>()[0].cast_signed());
    let _ = arrived(input.word());
    if near != 0 {
        // Marks of other functions lie there, or none.
        let _ = arrived(here.wrapping_add_signed(near * 8));
    }
    let Some(Ok(mut routine)) = arrived(here).map(|crossing| crossing.prepare(&[])) else {
        unreachable!("the function that was sent is here")
    };
    if let Err(Failure::Codec { message }) = routine.run(input.0, &mut Vec::new(), &mut || ()) {
        whole::<()>(Err(message));
    }
}

/// Notes with descriptors, and the descriptors that a value asks for.
pub fn rights(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Ok((ours, theirs)) = platform::note_pair() else { return };
    let files = vec![ours.as_fd(); usize::from(input.byte() % 5)];
    let wanted = input.array::<4>();
    if input.0.is_empty() || !platform::send_note(&ours, input.0, &files).unwrap_or(false) {
        return;
    }
    let Ok((note, received)) = platform::receive_note(&theirs) else { return };
    assert!(note.len() <= platform::NOTE_BYTES && received.len() == files.len());
    let received: Vec<Arc<OwnedFd>> = received.into_iter().map(Arc::new).collect();
    receiving(received, || {
        for number in wanted.map(u32::from).into_iter().chain([u32::MAX]) {
            assert_eq!(fetch(number).is_ok(), (number as usize) < files.len());
        }
    });
}

/// Messages of a pipe between Rust processes, the descriptor of a segment beside the first of them.
pub fn pipe(bytes: &[u8]) {
    let Ok((ours, theirs)) = Pipe::pair() else { return };
    let Ok(segment) = platform::memory_file("fuzzing", PIPE_SEGMENT_BYTES, false) else { return };
    let mut input = Input(bytes);
    let files = vec![segment.as_fd(); usize::from(input.byte() % 3)];
    let sent = input.0.len().min(64 * HEAD_BYTES);
    if sent == 0 || platform::send_beside(&ours, &input.0[..sent], &[], &files).is_err() {
        return;
    }
    drop(ours);
    for _ in 0..sent {
        match theirs.receive(None) {
            Ok(message) => assert!(message.files.len() <= files.len() && message.body.as_slice().len() <= 64 << 20),
            Err(_) => return,
        }
    }
}

/// Messages of a connection.
pub fn message(bytes: &[u8]) {
    let Ok((ours, theirs)) = std::os::unix::net::UnixStream::pair() else { return };
    let sent = bytes.len().min(4096);
    if std::io::Write::write_all(&mut &ours, &bytes[..sent]).is_err() {
        return;
    }
    drop(ours);
    let stream = Stream::new(theirs.as_raw_fd());
    for _ in 0..sent + 1 {
        match Receiving::default().step(stream) {
            Ok(Some(size)) if size <= sent as u64 => {
                let mut into = vec![0; size as usize];
                if receive_body(stream, &mut into, &mut 0).is_err() {
                    return;
                }
            }
            _ => return,
        }
    }
    unreachable!("more messages than bytes")
}

fn cell(file: &OwnedFd, place: usize, size: usize) -> Option<Cell> {
    Cell::open(file.try_clone().ok()?, place, size).ok()
}

/// The words of the primitives, as a process finds them that got the descriptor.
pub fn sync(bytes: &[u8]) {
    const PLACES: usize = 4;
    let mut input = Input(bytes);
    let Ok(file) = platform::memory_file("fuzz", 4096, true) else { return };
    let Ok(mapping) = Mapping::new(&file, 0, 4096, false) else { return };
    let _ = cell(&file, input.word() as usize, input.word() as usize);
    let cells = [0, 64, 128, 192, 1024, 2048].map(|place| cell(&file, place, if place < 1024 { 192 } else { 1024 }));
    let [Some(lock), Some(rlock), Some(semaphore), Some(event), Some(waiters), Some(barrier)] = cells else { return };
    let (lock, rlock, semaphore) = (Lock::new(lock), RLock::new(rlock), Semaphore::open(semaphore));
    let (event, waiters, barrier) = (Event::new(event), Waiters::open(waiters, 0), Barrier::open_cell(barrier));
    let now = Some(Instant::now());
    for _ in 0..4 {
        input.scribble(&mapping, 4096);
        let _ = (lock.acquire(now), lock.is_mine(), lock.is_locked(), lock.release());
        let _ = (rlock.acquire(now), rlock.depth(), rlock.is_mine(), rlock.release(), rlock.release_all());
        rlock.restore(input.byte().into());
        let _ = (semaphore.acquire(now), semaphore.permits(), semaphore.most(), semaphore.release());
        let _ = (event.is_set(), event.wait(event.mark(), now));
        event.set();
        event.clear();
        let place = waiters.enter();
        let _ = (waiters.wait(&place, now), waiters.alive(), waiters.waiting());
        let _ = (waiters.wake(PLACES, input.word() as u32), waiters.leave(&place));
        let _ = (barrier.parties(), barrier.waiting(), barrier.is_broken(), barrier.arrive(now).is_ok());
        barrier.break_up();
        let _ = (barrier.send_away(true), barrier.open());
    }
}

/// Places in a mapping, and in a segment that is mapped in parts, that somebody else names.
pub fn arena(bytes: &[u8]) {
    let mut input = Input(bytes);
    let Ok(sparse) = Segment::create_sparse("fuzz", 8192, 1 << 40) else { return };
    let Ok(segment) = Segment::create("fuzz", 8192, true) else { return };
    let mapping = segment.mapping();
    for _ in 0..6 {
        let at = if input.byte() % 2 == 0 { input.word() as usize } else { input.word() as usize % 8300 };
        let size = input.word() as usize;
        if let Ok(span) = sparse.at(at, size) {
            assert!(at.checked_add(size).is_some_and(|end| end <= sparse.size()));
            assert!(span.offset + size <= span.mapping(&sparse).size());
        }
        let mut out = Vec::new();
        assert_eq!(sparse.read(at, size % 10_000, &mut out).is_ok(), sparse.at(at, size % 10_000).is_ok());
        if let Some(word) = word32(mapping, at) {
            word.store(1, SeqCst);
        }
        if let Some(word) = word64(mapping, at) {
            word.store(2, SeqCst);
        }
        let mut out = Vec::new();
        assert_eq!(copy_out(mapping, at, size, &mut out), at.checked_add(size).is_some_and(|end| end <= 8192));
        assert!(out.len() <= 8192);
        let mut into = vec![0; size % 10_000];
        let fits = at.checked_add(into.len()).is_some_and(|end| end <= 8192);
        assert_eq!(copy_to(mapping, at, &mut into), fits);
        assert_eq!(copy_in(mapping, at, &into), fits);
    }
}

/// The words, the table and the records of a queue.
pub fn queue(bytes: &[u8]) {
    const BYTES: usize = 64 << 14;
    let mut input = Input(bytes);
    let Ok(file) = platform::memory_file("fuzz", BYTES, true) else { return };
    let Ok(mapping) = Mapping::new(&file, 0, BYTES, false) else { return };
    // As `create` does: the version, without which it is not opened;
    copy_in(&mapping, 296, &u64::from(WIRE_VERSION).to_ne_bytes());
    let Ok(queue) = Queue::open(file) else { return };
    // room for messages, and no free chunk.
    copy_in(&mapping, 280, &1000u64.to_ne_bytes());
    copy_in(&mapping, 256, &u64::from(u32::MAX >> 1).to_ne_bytes());
    copy_in(&mapping, 272, &1u64.to_ne_bytes());
    for _ in 0..6 {
        match input.byte() % 4 {
            0 => drop(queue.try_put(&input.array::<9>(), &vec![7; usize::from(input.byte()) * 700])),
            1 => input.scribble(&mapping, 448),
            2 => input.scribble(&mapping, 4096 + 64),
            // The owner of the lock is dead: repaired by the next.
            _ => drop(copy_in(&mapping, 0, &0x3f_ffff_u64.to_ne_bytes())),
        }
        let _ = (queue.len(), queue.is_full(), queue.report_done());
        match queue.try_oldest() {
            Ok(Attempt::Done(oldest)) => {
                assert!(oldest.size() <= BYTES);
                let mut message = vec![0; oldest.size()];
                let _ = oldest.copy(0, &mut message);
                oldest.take();
            }
            Ok(Attempt::Busy) => {
                // Held by somebody who lives, as far as the word tells, or died: only a dead one is waited for here.
                if word64(&mapping, 0).is_some_and(|word| word.load(SeqCst) == 0x3f_ffff)
                    && queue.put(b"x", b"").is_err()
                {
                    return;
                }
                copy_in(&mapping, 0, &[0; 8]);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many mutations of a target's corpus, shared out among its files.
    const MUTATIONS: usize = 300;

    /// Pseudo-random numbers that are the same in every run (splitmix64).
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ z >> 31) as usize % sides.max(1)
        }

        fn mutate(&mut self, bytes: &mut Vec<u8>) {
            for _ in 0..1 + self.roll(4) {
                let at = self.roll(bytes.len() + 1);
                match self.roll(5) {
                    0 => bytes.truncate(at),
                    1 => bytes.insert(at, self.roll(256) as u8),
                    2 => {
                        let many = [0u8, 0xff, 0x7f, 0x80][self.roll(4)];
                        bytes.splice(at..at, [many; 8]);
                    }
                    3 => bytes.extend_from_within(at..),
                    _ => {
                        let value = self.roll(256) as u8;
                        if let Some(byte) = bytes.get_mut(at) {
                            *byte = value;
                        }
                    }
                }
            }
            bytes.truncate(1 << 13);
        }
    }

    fn run(name: &str, target: fn(&[u8])) {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty());
        files.sort();
        let mut dice = Dice(1);
        let each = MUTATIONS.div_ceil(files.len());
        for file in files {
            let seed = std::fs::read(file).unwrap();
            target(&seed);
            for _ in 0..each {
                let mut bytes = seed.clone();
                dice.mutate(&mut bytes);
                target(&bytes);
            }
        }
    }

    #[test]
    fn every_decoder_stands_its_corpus_and_what_is_made_of_it() {
        for (name, target) in TARGETS {
            run(name, *target);
        }
    }
}
