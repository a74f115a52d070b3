//! `Connection`: one end of a pipe between two processes.

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::channel::{Receiving, Sending, receive_body};
use crate::error::{Error, ErrorKind, Result};
use crate::function::{decode, encode, receiving, sending};
use crate::platform::{MOST_FILES, Readiness, Stream, peek, receive_beside, send_note, stream_pair, wait_descriptors};

use super::super::wait::{Alarm, sealed::Source};
use super::{after, in_time, patiently, read_file, write_file};

/// The largest message that is believed before its bytes are there.
const BELIEVED_BYTES: u64 = 1 << 40;

/// Stands where the length of a message would: some descriptors of the next message came with these bytes.
const FILES: [u8; 4] = (-2i32).to_be_bytes();
/// How long descriptors wait when too many are on their way.
const FILES_AGAIN: Duration = Duration::from_millis(1);

/// One end of a pipe: it sends messages of one type and receives those of another.
///
/// When all handles of the other end are gone, [`Connection::recv`] says `Closed`. A handle that was given to a child is
/// the child's; keep no copy of it here, or the pipe stays open.
///
/// ```
/// use procession::{Connection, Process, pipe};
///
/// fn echo(connection: Connection<String>) {
///     while let Ok(message) = connection.recv() {
///         connection.send(&message).unwrap();
///     }
/// }
///
/// # fn main() -> procession::Result<()> {
/// let (ours, theirs) = pipe()?;
/// let process = Process::spawn(echo, theirs)?;
/// ours.send(&"hello".to_owned())?;
/// assert_eq!(ours.recv()?, "hello");
/// drop(ours);
/// process.join()?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Connection<S, R = S> {
    end: Arc<End>,
    messages: PhantomData<fn(S) -> R>,
}

#[derive(Debug)]
struct End {
    file: OwnedFd,
    /// One thread at a time sends, and one receives.
    sending: Mutex<()>,
    receiving: Mutex<()>,
}

/// Two ends of a new pipe.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// let (left, right) = procession::pipe::<u32, String>()?;
/// left.send(&7)?;
/// right.send(&format!("{} heard", right.recv()?))?;
/// assert_eq!(left.recv()?, "7 heard");
/// # Ok(()) }
/// ```
///
/// # Errors
/// The system's.
pub fn pipe<A, B>() -> Result<(Connection<A, B>, Connection<B, A>)> {
    let (ours, theirs) = stream_pair()?;
    Ok((Connection::of(ours), Connection::of(theirs)))
}

fn turn(mutex: &Mutex<()>) -> MutexGuard<'_, ()> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S, R> Connection<S, R> {
    fn of(file: OwnedFd) -> Connection<S, R> {
        let end = End { file, sending: Mutex::new(()), receiving: Mutex::new(()) };
        Connection { end: Arc::new(end), messages: PhantomData }
    }

    fn wait(&self, what: Readiness, until: Option<Instant>) -> Result<()> {
        let watched = [(self.end.file.as_raw_fd(), what)];
        if patiently(|| wait_descriptors(&watched, until, None))?.is_empty() {
            return Err(Error::new(ErrorKind::TimedOut, "the wait reached its deadline"));
        }
        Ok(())
    }

    fn send_files(&self, files: &[OwnedFd]) -> Result<()> {
        for some in files.chunks(MOST_FILES) {
            let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
            while !send_note(&self.end.file, &FILES, &some)? {
                self.wait(Readiness::Write, None)?;
                std::thread::sleep(FILES_AGAIN);
            }
        }
        Ok(())
    }

    fn recv_files(&self) -> Result<Vec<Arc<OwnedFd>>> {
        let mut files = Vec::new();
        loop {
            match peek::<{ FILES.len() }>(&self.end.file)? {
                None => self.wait(Readiness::Read, None)?,
                Some(first) if first == FILES => {
                    let (_, some) = receive_beside(&self.end.file, FILES.len())?.unwrap_or_default();
                    files.extend(some.into_iter().map(Arc::new));
                }
                Some(_) => return Ok(files),
            }
        }
    }

    /// Waits at most so long for a message to come; says whether one may be received, or the other end is closed.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let (left, right) = procession::pipe::<u8, u8>()?;
    /// assert!(!right.poll(Duration::ZERO)?);
    /// left.send(&1)?;
    /// assert!(right.poll(Duration::from_secs(10))?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn poll(&self, limit: Duration) -> Result<bool> {
        Ok(in_time(self.wait(Readiness::Read, after(limit)))?.is_some())
    }
}

impl<S: Serialize + 'static, R> Connection<S, R> {
    /// Sends a message; waits while the pipe is full.
    ///
    /// # Errors
    /// `InvalidInput` for a message that cannot be turned into bytes; the system's, `EPIPE` when the other end is closed.
    pub fn send(&self, message: &S) -> Result<()> {
        let mut bytes = Vec::new();
        let (encoded, files) = sending(|| encode(message, &mut bytes));
        encoded
            .map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("the message cannot be sent: {reason}")))?;
        let _turn = turn(&self.end.sending);
        self.send_files(&files)?;
        let stream = Stream::new(self.end.file.as_raw_fd());
        let mut sending = Sending::new(bytes.len());
        while !sending.step(stream, &bytes)? {
            self.wait(Readiness::Write, None)?;
        }
        Ok(())
    }
}

impl<S, R: DeserializeOwned + 'static> Connection<S, R> {
    /// Waits for a message.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let (left, right) = procession::pipe::<u8, u8>()?;
    /// left.send(&1)?;
    /// drop(left);
    /// assert_eq!(right.recv()?, 1);
    /// assert_eq!(right.recv().unwrap_err().kind(), procession::ErrorKind::Closed);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Closed` when the other end is; `Protocol` for what is no message.
    pub fn recv(&self) -> Result<R> {
        let _turn = turn(&self.end.receiving);
        let files = self.recv_files()?;
        let stream = Stream::new(self.end.file.as_raw_fd());
        let mut length = Receiving::default();
        let size = loop {
            match length.step(stream)? {
                Some(size) => break size,
                None => self.wait(Readiness::Read, None)?,
            }
        };
        if size > BELIEVED_BYTES {
            return Err(Error::new(ErrorKind::Protocol, "a message of impossible length"));
        }
        let (mut bytes, mut got) = (vec![0; size as usize], 0);
        while !receive_body(stream, &mut bytes, &mut got)? {
            self.wait(Readiness::Read, None)?;
        }
        receiving(files, || decode(&bytes))
            .map_err(|reason| Error::new(ErrorKind::Protocol, format!("a message could not be rebuilt: {reason}")))
    }

    /// Waits at most so long for a message to begin.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let (left, right) = procession::pipe::<u8, u8>()?;
    /// assert_eq!(right.recv_timeout(Duration::from_millis(10))?, None);
    /// left.send(&1)?;
    /// assert_eq!(right.recv_timeout(Duration::from_secs(10))?, Some(1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Connection::recv`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<Option<R>> {
        if self.poll(limit)? { self.recv().map(Some) } else { Ok(None) }
    }
}

impl<S, R> Source for Connection<S, R> {
    fn is_ready(&self) -> Result<bool> {
        self.poll(Duration::ZERO)
    }

    fn watch(&self, _: &Arc<Alarm>) -> Result<Option<RawFd>> {
        Ok(Some(self.end.file.as_raw_fd()))
    }
}

impl<S, R> Serialize for Connection<S, R> {
    fn serialize<T: Serializer>(&self, serializer: T) -> std::result::Result<T::Ok, T::Error> {
        write_file(self.end.file.as_fd(), 0, 0, serializer)
    }
}

impl<'de, S, R> Deserialize<'de> for Connection<S, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        read_file(deserializer).map(|(file, _, _)| Connection::of(file))
    }
}
