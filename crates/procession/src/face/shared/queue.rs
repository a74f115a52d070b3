//! `Queue`: messages that any number of processes put and get.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::channel;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{decode, encode};

use super::{after, in_time, patiently, read_file, write_file};

/// As many messages as a queue can count.
const UNBOUNDED: u32 = i32::MAX as u32;

/// A queue of messages between any processes.
///
/// Nothing of a message stays in the process that put it, so that one may end at once.
///
/// ```
/// use procession::{Process, Queue};
///
/// fn produce(queue: Queue<String>) {
///     for word in ["to", "be"] {
///         queue.put(word.to_owned()).unwrap();
///     }
/// }
///
/// # fn main() -> procession::Result<()> {
/// let queue = Queue::new()?;
/// Process::spawn(produce, queue.clone())?.join()?;
/// assert_eq!((queue.get()?, queue.get()?), ("to".to_owned(), "be".to_owned()));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Queue<T> {
    queue: Arc<channel::Queue>,
    message: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned + 'static> Queue<T> {
    /// A queue without a limit but that of memory.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Queue<T>> {
        Queue::bounded(UNBOUNDED)
    }

    /// A queue for at most `most` messages: whoever puts one more waits.
    ///
    /// # Errors
    /// The system's.
    pub fn bounded(most: u32) -> Result<Queue<T>> {
        Ok(Queue { queue: Arc::new(channel::Queue::create(most.max(1))?), message: PhantomData })
    }

    /// Puts a message, waiting for room in a bounded queue.
    ///
    /// # Errors
    /// `InvalidInput` for a message that cannot be turned into bytes; the system's, when there is no memory for it.
    pub fn put(&self, message: T) -> Result<()> {
        self.put_until(&message, None).map(|_| ())
    }

    /// Puts a message unless there is no room within `limit`; gives it back then.
    ///
    /// # Errors
    /// Those of [`Queue::put`].
    pub fn put_timeout(&self, message: T, limit: Duration) -> Result<std::result::Result<(), T>> {
        Ok(if in_time(self.put_until(&message, after(limit)))?.is_some() { Ok(()) } else { Err(message) })
    }

    fn put_until(&self, message: &T, until: Option<Instant>) -> Result<()> {
        let mut bytes = Vec::new();
        encode(message, &mut bytes)
            .map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("the message cannot be sent: {reason}")))?;
        while !patiently(|| self.queue.put(&[], &bytes))? {
            patiently(|| self.queue.wait_for_room(until))?;
        }
        Ok(())
    }

    /// Waits for a message.
    ///
    /// # Errors
    /// `Protocol` for a message that is no `T`; it is lost.
    pub fn get(&self) -> Result<T> {
        self.get_until(None)
    }

    /// Waits at most so long for a message.
    ///
    /// # Errors
    /// As [`Queue::get`].
    pub fn get_timeout(&self, limit: Duration) -> Result<Option<T>> {
        in_time(self.get_until(after(limit)))
    }

    /// A message, if one is there.
    ///
    /// # Errors
    /// As [`Queue::get`].
    pub fn try_get(&self) -> Result<Option<T>> {
        self.take()
    }

    fn get_until(&self, until: Option<Instant>) -> Result<T> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(message);
            }
            patiently(|| self.queue.wait_for_message(until))?;
        }
    }

    fn take(&self) -> Result<Option<T>> {
        let Some(oldest) = patiently(|| self.queue.oldest())? else { return Ok(None) };
        let mut bytes = vec![0; oldest.size()];
        oldest.copy(0, &mut bytes)?;
        oldest.take();
        decode(&bytes)
            .map(Some)
            .map_err(|reason| Error::new(ErrorKind::Protocol, format!("a message could not be rebuilt: {reason}")))
    }

    /// How many messages are in it just now.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is in it just now.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl<T> Clone for Queue<T> {
    /// Another handle of the same queue.
    fn clone(&self) -> Self {
        Queue { queue: self.queue.clone(), message: PhantomData }
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write_file(&*self.queue, 0, 0, serializer)
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (file, _, _) = read_file(deserializer)?;
        let queue = channel::Queue::open(file).map_err(serde::de::Error::custom)?;
        Ok(Queue { queue: Arc::new(queue), message: PhantomData })
    }
}
