//! `Connection`: one end of a pipe between two processes.

use std::cell::Cell;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::wait::{Alarm, sealed::Source};
use super::{after, in_time, read_file, write_file};
use crate::channel::{Body, Message, Pipe};
use crate::error::{Error, ErrorKind, Result};
use crate::function::{as_bytes, decode, decode_owned, encode, receiving, sending};
use crate::platform::Readiness;

/// Messages up to this size are turned into bytes in memory that the thread keeps.
const KEPT_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

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
    end: Arc<Pipe>,
    messages: PhantomData<fn(S) -> R>,
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
    let (ours, theirs) = Pipe::pair()?;
    Ok((Connection::of(ours), Connection::of(theirs)))
}

impl<S, R> Connection<S, R> {
    fn of(end: Pipe) -> Connection<S, R> {
        Connection { end: Arc::new(end), messages: PhantomData }
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
        Ok(in_time(self.end.wait(Readiness::Read, after(limit)))?.is_some())
    }
}

impl<S: Serialize + 'static, R> Connection<S, R> {
    /// Sends a message; waits while the pipe is full.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let (left, right) = procession::pipe::<String, String>()?;
    /// left.send(&"hello".to_string())?;
    /// assert_eq!(right.recv()?, "hello");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a message that cannot be turned into bytes; the system's, `EPIPE` when the other end is closed.
    pub fn send(&self, message: &S) -> Result<()> {
        if let Some(bytes) = as_bytes(message) {
            return self.end.send(bytes, &[]);
        }
        let mut bytes = SCRATCH.take();
        bytes.clear();
        let (encoded, files) = sending(|| encode(message, &mut bytes));
        let is_sent = encoded
            .map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("the message cannot be sent: {reason}")))
            .and_then(|()| self.end.send(&bytes, &files));
        if bytes.capacity() <= KEPT_BYTES {
            SCRATCH.set(bytes);
        }
        is_sent
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
        rebuilt(self.end.receive(None)?)
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
        in_time(self.end.receive(after(limit)))?.map(rebuilt).transpose()
    }
}

fn rebuilt<R: DeserializeOwned + 'static>(message: Message) -> Result<R> {
    let files = message.files.into_iter().map(Arc::new).collect();
    let value = receiving(files, || match message.body {
        Body::Large(bytes) => decode_owned(bytes),
        small => decode(small.as_slice()),
    });
    value.map_err(|reason| Error::new(ErrorKind::Protocol, format!("a message could not be rebuilt: {reason}")))
}

impl<S, R> Source for Connection<S, R> {
    fn is_ready(&self) -> Result<bool> {
        self.poll(Duration::ZERO)
    }

    fn watch(&self, _: &Arc<Alarm>) -> Result<Option<RawFd>> {
        Ok(Some(self.end.as_fd().as_raw_fd()))
    }
}

impl<S, R> Serialize for Connection<S, R> {
    fn serialize<T: Serializer>(&self, serializer: T) -> std::result::Result<T::Ok, T::Error> {
        write_file(None, self.end.as_fd(), 0, 0, serializer)
    }
}

impl<'de, S, R> Deserialize<'de> for Connection<S, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        read_file(deserializer).map(|place| Connection::of(Pipe::new(place.file)))
    }
}
