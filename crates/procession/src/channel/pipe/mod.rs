//! Messages between processes of one program, with their descriptors, over a stream socket.
//!
//! A message begins with a head of a fixed size. A small one lies within; a longer one follows on the stream; a large one
//! lies in blocks of a segment that the sender made and the receiver maps once. All waits end when the other side does.

mod blocks;
mod head;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Habit;
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{MOST_FILES, Readiness, Stream, receive_beside, send_beside, stream_pair, wait_descriptors};
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use blocks::SEGMENT_BYTES as PIPE_SEGMENT_BYTES;
use blocks::{BLOCK_BYTES, Blocks, KnownSegments, copy};
pub use head::{HEAD_BYTES, Head, Where};

/// Messages longer than this cross in blocks.
const STREAM_BYTES: usize = 32 * 1024;
/// Memory for a message is taken when at least an eighth of it has arrived, or when it is no more than this: a length
/// alone, which any garbage can be, costs little.
const TAKEN_ON_TRUST: usize = 64 << 20;
const TRUST: usize = 8;
/// Beside those of a message the descriptor of its segment has to fit.
const FILES_AT_ONCE: usize = MOST_FILES - 1;
/// How long descriptors wait when too many are on their way.
const FILES_AGAIN: Duration = Duration::from_millis(1);
/// How long a sender without a free block sleeps before it looks whether the other side still lives.
const SLICE: Duration = Duration::from_millis(50);
/// After so long without a free block, though all that was sent was taken, a process that shared the other end has died
/// with some.
const LOST_AFTER: Duration = Duration::from_secs(1);

/// One end of a pipe.
#[derive(Debug)]
pub struct Pipe {
    file: OwnedFd,
    stream: Stream,
    /// One thread at a time sends, and one receives.
    sending: Mutex<Sending>,
    receiving: Mutex<Receiving>,
}

#[derive(Debug, Default)]
struct Sending {
    habit: Habit,
    habit_for_blocks: Habit,
    blocks: Option<Blocks>,
    /// A message was sent in part, and no other can follow.
    is_broken: bool,
}

#[derive(Debug, Default)]
struct Receiving {
    habit: Habit,
    known: KnownSegments,
    /// What follows on the stream is not the beginning of a message.
    is_broken: bool,
}

/// A message that arrived.
#[derive(Debug)]
pub struct Message {
    /// Its bytes.
    pub body: Body,
    /// The descriptors that came beside it.
    pub files: Vec<OwnedFd>,
}

/// The bytes of a message.
#[derive(Debug)]
pub enum Body {
    /// The bytes lie in the message's head.
    Small([u8; HEAD_BYTES]),
    /// The bytes lie elsewhere.
    Large(Vec<u8>),
}

impl Body {
    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Body::Small(head) => Head::decode(head).map_or(&[], |(_, within)| within),
            Body::Large(bytes) => bytes,
        }
    }
}

fn turn<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn protocol(message: &str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

impl Pipe {
    /// Two ends of a new pipe.
    ///
    /// # Errors
    /// The system's.
    pub fn pair() -> Result<(Pipe, Pipe)> {
        let (left, right) = stream_pair()?;
        Ok((Pipe::new(left), Pipe::new(right)))
    }

    /// The end behind a descriptor that another process passed here.
    pub fn new(file: OwnedFd) -> Pipe {
        let stream = Stream::new(file.as_raw_fd());
        Pipe { file, stream, sending: Mutex::default(), receiving: Mutex::default() }
    }

    /// Waits until `what` is possible, or the other side is closed.
    ///
    /// # Errors
    /// `TimedOut`; the system's.
    pub fn wait(&self, what: Readiness, until: Option<Instant>) -> Result<()> {
        loop {
            match wait_descriptors(&[(self.file.as_raw_fd(), what)], until, None) {
                Ok(none) if none.is_empty() => {
                    return Err(Error::new(ErrorKind::TimedOut, "the wait reached its deadline"));
                }
                Err(error) if error.is_interrupted() => {}
                answer => return answer.map(drop),
            }
        }
    }

    /// Calls `step` until it has an answer; tells it whether it may wait itself, which spares a call of the system.
    fn until_ready<T>(
        &self,
        habit: &mut Habit,
        what: Readiness,
        until: Option<Instant>,
        mut step: impl FnMut(bool) -> Result<Option<T>>,
    ) -> Result<T> {
        let mut step = |waits| match step(waits) {
            Err(error) if error.is_interrupted() => None,
            answer => answer.transpose(),
        };
        if let Some(answer) = step(false) {
            return answer;
        }
        let step = RefCell::new(step);
        let sleep = || {
            loop {
                let waits = what == Readiness::Read && until.is_none();
                if !waits {
                    self.wait(what, until)?;
                }
                if let Some(answer) = step.borrow_mut()(waits) {
                    return answer;
                }
            }
        };
        habit.wait(|| step.borrow_mut()(false), sleep)
    }

    /// Sends a message with copies of descriptors; waits while the pipe is full.
    ///
    /// # Errors
    /// The system's, `EPIPE` when the other end is closed.
    pub fn send(&self, message: &[u8], files: &[OwnedFd]) -> Result<()> {
        let mut sending = turn(&self.sending);
        if sending.is_broken {
            return Err(protocol("an earlier message was sent in part"));
        }
        let files: Vec<BorrowedFd<'_>> = files.iter().map(AsFd::as_fd).collect();
        let (first, files) = files.split_at(files.len().saturating_sub(FILES_AT_ONCE));
        for some in first.chunks(FILES_AT_ONCE) {
            self.send_part(&mut sending, Where::Nowhere, 0, 0, &[], some)?;
            // Descriptors alone are half a message.
            sending.is_broken = true;
        }
        let is_sent = match message.len() {
            ..=STREAM_BYTES => self.send_part(&mut sending, Where::Stream, 0, message.len(), message, files),
            _ => self.send_blocks(&mut sending, message, files),
        };
        sending.is_broken &= is_sent.is_err();
        is_sent
    }

    /// Sends a head, and what of the `message` does not fit there.
    fn send_part(
        &self,
        sending: &mut Sending,
        place: Where,
        block: u32,
        size: usize,
        message: &[u8],
        files: &[BorrowedFd<'_>],
    ) -> Result<()> {
        let head = Head { place, files: files.len() as u16, block, size }.encode(message);
        let rest = message.get(head::WITHIN_BYTES..).unwrap_or_default();
        let mut sent = 0;
        let is_sent = self.until_ready(&mut sending.habit, Readiness::Write, None, |_| {
            while sent < HEAD_BYTES + rest.len() {
                let (head, rest) = (&head[sent.min(HEAD_BYTES)..], &rest[sent.saturating_sub(HEAD_BYTES)..]);
                // The descriptors go with the first byte.
                let now = match sent {
                    0 if !files.is_empty() => send_beside(&self.file, head, rest, files),
                    _ => self.stream.write_now([head, rest]),
                };
                match now {
                    Ok(Some(count)) => sent += count,
                    Ok(None) => return Ok(None),
                    Err(error) if error.errno() == Some(rustix::io::Errno::TOOMANYREFS.raw_os_error()) => {
                        std::thread::sleep(FILES_AGAIN);
                        return Ok(None);
                    }
                    Err(error) => return Err(error),
                }
            }
            Ok(Some(()))
        });
        sending.is_broken |= is_sent.is_err() && sent > 0;
        is_sent
    }

    fn send_blocks(&self, sending: &mut Sending, message: &[u8], files: &[BorrowedFd<'_>]) -> Result<()> {
        let mut is_new = true;
        for (number, part) in message.chunks(BLOCK_BYTES).enumerate() {
            let block = self.free_block(sending, &mut is_new)?;
            let blocks = sending.blocks.take().expect("a block is one of them");
            blocks.fill(block, part);
            let mut beside = Vec::new();
            if is_new {
                beside.push(blocks.as_fd());
            }
            if number == 0 {
                beside.extend(files);
            }
            let is_sent = self.send_part(sending, Where::Block, block as u32, message.len(), &[], &beside);
            if is_sent.is_err() {
                blocks.untake(block);
            }
            sending.blocks = Some(blocks);
            // All parts are sent, or the message is broken off.
            sending.is_broken |= is_sent.is_err() && number > 0;
            is_sent?;
            is_new = false;
        }
        Ok(())
    }

    /// A block for a part of a message; waits while all are on their way. Says whether it is of another segment than the
    /// part before.
    fn free_block(&self, sending: &mut Sending, is_new: &mut bool) -> Result<usize> {
        let mut blocks = match sending.blocks.take() {
            Some(blocks) => blocks,
            None => Blocks::create()?,
        };
        let block = match blocks.take() {
            Some(block) => Ok(block),
            None => {
                let blocks = RefCell::new(&mut blocks);
                let sleep = || self.sleep_for_block(&mut blocks.borrow_mut(), is_new);
                sending.habit_for_blocks.wait(|| blocks.borrow_mut().take().map(Ok), sleep)
            }
        };
        sending.blocks = Some(blocks);
        block
    }

    fn sleep_for_block(&self, blocks: &mut Blocks, is_new: &mut bool) -> Result<usize> {
        let begun = Instant::now();
        loop {
            match blocks.wait(SLICE).and_then(|()| self.stream.check_reader()) {
                Err(error) if !error.is_interrupted() => return Err(error),
                _ => {}
            }
            if let Some(block) = blocks.take() {
                return Ok(block);
            }
            if begun.elapsed() > LOST_AFTER && self.stream.unread()? == 0 {
                (*blocks, *is_new) = (Blocks::create()?, true);
            }
        }
    }

    /// Waits for a message, for its beginning at most until `until`.
    ///
    /// # Errors
    /// `Closed` when the other end is; `TimedOut`; `Protocol` for what is no message; the system's.
    pub fn receive(&self, until: Option<Instant>) -> Result<Message> {
        let mut receiving = turn(&self.receiving);
        let Receiving { habit, known, is_broken } = &mut *receiving;
        if *is_broken {
            return Err(protocol("an earlier message was received in part"));
        }
        let mut files = Vec::new();
        let Some((head, bytes)) = self.receive_head(habit, &mut files, until)? else {
            return Err(Error::new(ErrorKind::Closed, "the other side is closed"));
        };
        let body = self.receive_rest(habit, known, head, bytes, &mut files);
        *is_broken = body.is_err();
        Ok(Message { body: body?, files })
    }

    /// The next head, its descriptors added to `files`; none at the end of the stream.
    fn receive_head(
        &self,
        habit: &mut Habit,
        files: &mut Vec<OwnedFd>,
        until: Option<Instant>,
    ) -> Result<Option<(Result<Head>, [u8; HEAD_BYTES])>> {
        let (mut bytes, mut got) = ([0; HEAD_BYTES], 0);
        let before = files.len();
        self.until_ready(habit, Readiness::Read, until, |waits| {
            while got < HEAD_BYTES {
                match receive_beside(&self.file, waits, &mut bytes[got..], files)? {
                    None => return Ok(None),
                    Some(0) => break,
                    Some(count) => got += count,
                }
            }
            Ok(Some(()))
        })?;
        let head = match got {
            0 => return Ok(None),
            HEAD_BYTES => Head::decode(&bytes).map(|(head, _)| head),
            _ => Err(ended()),
        };
        let head = head.and_then(|head| match files.len() - before {
            count if count == usize::from(head.files) => Ok(head),
            _ => Err(protocol("descriptors of a message were lost: too many files are open")),
        });
        Ok(Some((head, bytes)))
    }

    /// What follows a head until the message is there.
    fn receive_rest(
        &self,
        habit: &mut Habit,
        known: &mut KnownSegments,
        head: Result<Head>,
        mut bytes: [u8; HEAD_BYTES],
        files: &mut Vec<OwnedFd>,
    ) -> Result<Body> {
        let mut head = head?;
        while head.place == Where::Nowhere {
            let (next, its_bytes) = self.receive_head(habit, files, None)?.ok_or_else(ended)?;
            (head, bytes) = (next?, its_bytes);
        }
        match head.place {
            Where::Block => self.receive_blocks(habit, known, head, files).map(Body::Large),
            _ if head.size <= head::WITHIN_BYTES => Ok(Body::Small(bytes)),
            _ if head.size > STREAM_BYTES => Err(protocol("a message too long for where its head says it is")),
            _ => {
                let (_, within) = Head::decode(&bytes)?;
                let mut message = within.to_vec();
                message.resize(head.size, 0);
                let mut got = within.len();
                self.until_ready(habit, Readiness::Read, None, |waits| {
                    while got < message.len() {
                        match receive_beside(&self.file, waits, &mut message[got..], &mut Vec::new())? {
                            None => return Ok(None),
                            Some(0) => return Err(ended()),
                            Some(count) => got += count,
                        }
                    }
                    Ok(Some(()))
                })?;
                Ok(Body::Large(message))
            }
        }
    }

    fn receive_blocks(
        &self,
        habit: &mut Habit,
        known: &mut KnownSegments,
        mut head: Head,
        files: &mut Vec<OwnedFd>,
    ) -> Result<Vec<u8>> {
        let (size, mut message) = (head.size, Vec::new());
        let mut segment = None;
        // The descriptors of this head are the last ones; the first of them is that of the segment.
        let mut its_files = usize::from(head.files);
        loop {
            if its_files > 0 {
                segment = Some(known.find(files.remove(files.len() - its_files))?);
            }
            let segment = segment.ok_or_else(|| protocol("a large message without its memory"))?;
            if message.len() == message.capacity() {
                let trusted = (message.len() * (TRUST - 1)).max(TAKEN_ON_TRUST).min(size - message.len());
                let room = message.try_reserve_exact(trusted);
                room.map_err(|_| {
                    Error::os(&format!("a message of {size} bytes"), rustix::io::Errno::NOMEM.raw_os_error())
                })?;
            }
            copy(known.get(segment), head.block, size - message.len(), &mut message)?;
            if message.len() == size {
                return Ok(message);
            }
            let before = files.len();
            head = self.receive_head(habit, files, None)?.ok_or_else(ended)?.0?;
            its_files = files.len() - before;
            if head.place != Where::Block || head.size != size {
                return Err(protocol("the sender of a message ended within it"));
            }
        }
    }
}

fn ended() -> Error {
    protocol("the stream ended within a message")
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
