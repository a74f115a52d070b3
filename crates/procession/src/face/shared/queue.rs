//! `Queue`: messages that any number of processes put and get.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::wait::{Alarm, sealed::Source};
use super::{NO_ITEM, after, check_kind, in_time, patiently, read_place, write_place};
use crate::channel;
use crate::channel::neutral::SharedKind;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{Form, attach, fetch, receiving, sending, unread, unwritten};
use crate::platform::{MOST_FILES, note_pair, peek, receive_note_now, send_note};

/// As many messages as a queue can count.
const UNBOUNDED: u32 = i32::MAX as u32;
/// A message begins with a word: this one, or the number of its descriptors' notes.
const WORD_BYTES: usize = 8;
const PLAIN: [u8; WORD_BYTES] = [0; WORD_BYTES];
/// How long descriptors wait when too many are on their way.
const FILES_AGAIN: Duration = Duration::from_millis(1);

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
    parts: Arc<QueueParts>,
    message: PhantomData<fn(T) -> T>,
}

#[derive(Debug)]
struct QueueParts {
    queue: Arc<channel::Queue>,
    bell: OnceLock<channel::QueueBell>,
    form: Form,
    /// Two ends of a socket, for the descriptors of messages that are in the queue; none if its messages have none.
    notes: Option<(OwnedFd, OwnedFd)>,
}

impl<T: Serialize + DeserializeOwned + 'static> Queue<T> {
    /// A queue without a limit but that of memory.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let queue = procession::Queue::new()?;
    /// queue.put((1, "one".to_string()))?;
    /// assert_eq!(queue.get()?, (1, "one".to_string()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Queue<T>> {
        Queue::bounded(UNBOUNDED)
    }

    /// A queue for at most `most` messages: whoever puts one more waits.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let queue = procession::Queue::bounded(1)?;
    /// queue.put(1)?;
    /// assert_eq!(queue.put_timeout(2, Duration::from_millis(10))?, Err(2));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn bounded(most: u32) -> Result<Queue<T>> {
        let queue = channel::Queue::create(most.max(1))?;
        Ok(Queue { parts: Arc::new(QueueParts::of(queue, Some(note_pair()?))), message: PhantomData })
    }

    /// As [`Queue::new`], for programs of every language: a Python program that is handed it has a `procession.neutral.Queue`.
    ///
    /// Messages are plain values and [`Array`](crate::Array)s, without descriptors: what processes share is handed over in
    /// the arguments of tasks and programs. The form of the messages is documented in docs/wire.md.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let queue = procession::Queue::neutral()?;
    /// queue.put(("one".to_string(), 1))?;
    /// assert_eq!(queue.get()?, ("one".to_string(), 1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn neutral() -> Result<Queue<T>> {
        Queue::bounded_neutral(UNBOUNDED)
    }

    /// As [`Queue::neutral`], for at most `most` messages.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let queue = procession::Queue::bounded_neutral(1)?;
    /// queue.put(1)?;
    /// assert_eq!(queue.put_timeout(2, Duration::from_millis(10))?, Err(2));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn bounded_neutral(most: u32) -> Result<Queue<T>> {
        let queue = channel::Queue::create_neutral(most.max(1))?;
        Ok(Queue { parts: Arc::new(QueueParts::of(queue, None)), message: PhantomData })
    }

    /// Puts a message, waiting for room in a bounded queue.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let queue = procession::Queue::new()?;
    /// queue.put(5u8)?;
    /// assert_eq!(queue.len(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `InvalidInput` for a message that cannot be turned into bytes; the system's, when there is no memory for it.
    pub fn put(&self, message: T) -> Result<()> {
        self.put_until(&message, None).map(|_| ())
    }

    /// Puts a message unless there is no room within `limit`; gives it back then.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    ///
    /// let queue = procession::Queue::new()?;
    /// assert_eq!(queue.put_timeout(5u8, Duration::from_secs(1))?, Ok(()));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`Queue::put`].
    pub fn put_timeout(&self, message: T, limit: Duration) -> Result<std::result::Result<(), T>> {
        Ok(if in_time(self.put_until(&message, after(limit)))?.is_some() { Ok(()) } else { Err(message) })
    }

    fn put_until(&self, message: &T, until: Option<Instant>) -> Result<()> {
        let mut bytes = Vec::new();
        let form = self.parts.form;
        let (encoded, files) = sending(|| form.encode(message, &mut bytes));
        encoded
            .map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("the message cannot be sent: {reason}")))?;
        let put = self.put_bytes(bytes, &files, until);
        self.parts.settle();
        put
    }

    fn put_bytes(&self, mut bytes: Vec<u8>, files: &[OwnedFd], until: Option<Instant>) -> Result<()> {
        let queue = &self.parts.queue;
        let Some(_) = &self.parts.notes else { return self.put_neutral(&bytes, files, until) };
        if files.is_empty() {
            while !patiently(|| queue.put(&PLAIN, &bytes))? {
                patiently(|| queue.wait_for_room(until))?;
            }
            return Ok(());
        }
        bytes.splice(0..0, (files.len() as u64).to_ne_bytes());
        loop {
            if patiently(|| queue.put_numbered(&bytes, |number| self.parts.send(number, files)))? {
                return Ok(());
            }
            if queue.is_full() {
                patiently(|| queue.wait_for_room(until))?;
            } else if until.is_some_and(|until| Instant::now() >= until) {
                return Err(Error::new(ErrorKind::TimedOut, "the wait reached its deadline"));
            } else {
                std::thread::sleep(FILES_AGAIN);
            }
        }
    }

    fn put_neutral(&self, bytes: &[u8], files: &[OwnedFd], until: Option<Instant>) -> Result<()> {
        if !files.is_empty() {
            let message = "a queue for programs of every language has no room for descriptors: what processes share is handed \
                           over in the arguments of tasks and programs";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        while !patiently(|| self.parts.queue.put(&[], bytes))? {
            patiently(|| self.parts.queue.wait_for_room(until))?;
        }
        Ok(())
    }

    /// Waits for a message.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let queue = procession::Queue::new()?;
    /// queue.put(vec![1.5f64, 2.5])?;
    /// assert_eq!(queue.get()?, [1.5, 2.5]);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// `Protocol` for a message that is no `T`; it is lost.
    pub fn get(&self) -> Result<T> {
        self.get_until(None)
    }

    /// Waits at most so long for a message.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let queue = procession::Queue::new()?;
    /// assert_eq!(queue.get_timeout(Duration::from_millis(10))?, None);
    /// queue.put(7)?;
    /// assert_eq!(queue.get_timeout(Duration::from_secs(10))?, Some(7));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`Queue::get`].
    pub fn get_timeout(&self, limit: Duration) -> Result<Option<T>> {
        in_time(self.get_until(after(limit)))
    }

    /// A message, if one is there.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let queue = procession::Queue::new()?;
    /// assert_eq!(queue.try_get()?, None);
    /// queue.put(7)?;
    /// assert_eq!(queue.try_get()?, Some(7));
    /// # Ok(()) }
    /// ```
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
            patiently(|| self.parts.queue.wait_for_message(until))?;
        }
    }

    fn take(&self) -> Result<Option<T>> {
        let taken = self.take_silently();
        self.parts.settle();
        taken
    }

    fn take_silently(&self) -> Result<Option<T>> {
        let Some(oldest) = patiently(|| self.parts.queue.oldest())? else { return Ok(None) };
        if self.parts.notes.is_none() {
            let mut bytes = vec![0; oldest.size()];
            oldest.copy(0, &mut bytes)?;
            oldest.take();
            return self.rebuilt(&bytes, Vec::new());
        }
        let mut word = [0; WORD_BYTES];
        let size = oldest.size().checked_sub(WORD_BYTES);
        let size = size.ok_or_else(|| Error::new(ErrorKind::Protocol, "the queue's memory is damaged"))?;
        oldest.copy(0, &mut word)?;
        let mut bytes = vec![0; size];
        oldest.copy(WORD_BYTES, &mut bytes)?;
        if word == PLAIN {
            oldest.take();
            return self.rebuilt(&bytes, Vec::new());
        }
        // While the message is the oldest, its descriptors are the first in the socket.
        let files = self.parts.receive(u64::from_ne_bytes(word));
        oldest.take();
        let (files, Some((count, bytes))) = (files?, bytes.split_first_chunk()) else {
            return Err(Error::new(ErrorKind::Protocol, "the queue's memory is damaged"));
        };
        if files.len() as u64 != u64::from_ne_bytes(*count) {
            let message = "descriptors of the message were lost: another process died while it took it, or too many files are open";
            return Err(Error::new(ErrorKind::Protocol, message));
        }
        self.rebuilt(bytes, files)
    }

    fn rebuilt(&self, bytes: &[u8], files: Vec<Arc<OwnedFd>>) -> Result<Option<T>> {
        receiving(files, || self.parts.form.decode(bytes))
            .map(Some)
            .map_err(|reason| Error::new(ErrorKind::Protocol, format!("a message could not be rebuilt: {reason}")))
    }

    /// A descriptor that is readable while there are messages, for programs that wait by other means than [`wait`](crate::wait()),
    /// such as an event loop. It lives as long as the last handle of this process.
    ///
    /// The first call in a process makes it, and starts a thread that watches the queue. Where others take from the queue, too, it
    /// may be readable for a moment when they have taken the last message: take by [`Queue::try_get`]. Nobody else reads from it.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::os::fd::AsRawFd;
    ///
    /// let queue = procession::Queue::new()?;
    /// let number = queue.readable_fd()?.as_raw_fd();
    /// queue.put("a".to_string())?; // an event loop that watches the number calls what follows
    /// assert_eq!(queue.try_get()?, Some("a".to_string()));
    /// # assert!(number > 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's: no descriptor, no thread.
    pub fn readable_fd(&self) -> Result<BorrowedFd<'_>> {
        let bell = &self.parts.bell;
        if let Some(known) = bell.get() {
            return Ok(known.as_fd());
        }
        let new = channel::QueueBell::new(self.parts.queue.clone())?;
        Ok(bell.get_or_init(|| new).as_fd())
    }

    /// How many messages are in it just now.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let queue = procession::Queue::new()?;
    /// queue.put(7)?;
    /// assert_eq!((queue.len(), queue.is_empty()), (1, false));
    /// # Ok(()) }
    /// ```
    pub fn len(&self) -> usize {
        self.parts.queue.len()
    }

    /// Whether none is in it just now.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert!(procession::Queue::<u8>::new()?.is_empty());
    /// # Ok(()) }
    /// ```
    pub fn is_empty(&self) -> bool {
        self.parts.queue.is_empty()
    }
}

impl QueueParts {
    fn of(queue: channel::Queue, notes: Option<(OwnedFd, OwnedFd)>) -> QueueParts {
        let form = if queue.is_neutral() { Form::Neutral } else { Form::Own };
        QueueParts { queue: Arc::new(queue), bell: OnceLock::new(), form, notes }
    }

    /// What is readable while there are messages shows what is so now, where somebody has asked for it.
    fn settle(&self) {
        if let Some(bell) = self.bell.get() {
            bell.settle();
        }
    }

    /// Sends the descriptors of message `number`; false if there is no room for them now. Whoever takes the next message passes
    /// over those of one that did not come to be.
    fn send(&self, number: u64, files: &[OwnedFd]) -> Result<bool> {
        let Some((into, _)) = &self.notes else { return Ok(false) };
        for some in files.chunks(MOST_FILES) {
            let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
            if !send_note(into, &number.to_ne_bytes(), &some)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn receive(&self, number: u64) -> Result<Vec<Arc<OwnedFd>>> {
        let mut files = Vec::new();
        let Some((_, out)) = &self.notes else { return Ok(files) };
        while let Some(first) = peek::<WORD_BYTES>(out)? {
            let first = first.first_chunk().map_or(0, |word| u64::from_ne_bytes(*word));
            if first > number {
                break;
            }
            let (_, some) = receive_note_now(out)?.unwrap_or_default();
            files.extend(some.into_iter().filter(|_| first == number).map(Arc::new));
        }
        Ok(files)
    }
}

impl<T> Source for Queue<T> {
    fn is_ready(&self) -> Result<bool> {
        Ok(!self.parts.queue.is_empty())
    }

    fn watch(&self, alarm: &Arc<Alarm>) -> Result<Option<RawFd>> {
        let parts = self.parts.clone();
        let look = move |until| Ok(in_time(patiently(|| parts.queue.wait_for_message(Some(until))))?.is_some());
        alarm.look_aside(look).map(|()| None)
    }
}

impl<T> Clone for Queue<T> {
    /// Another handle of the same queue.
    fn clone(&self) -> Self {
        Queue { parts: self.parts.clone(), message: PhantomData }
    }
}

impl<T> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let attached = |file: BorrowedFd<'_>| attach(file).map(u64::from).map_err(unwritten);
        let queue = attached(self.parts.queue.as_fd())?;
        match &self.parts.notes {
            Some((into, out)) => {
                write_place(None, NO_ITEM, [queue, attached(into.as_fd())?, attached(out.as_fd())?], serializer)
            }
            None => write_place(Some(SharedKind::Queue), NO_ITEM, [queue, 0, 0], serializer),
        }
    }
}

impl<'de, T> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (kind, _, _, queue, into, out) = read_place(deserializer)?;
        if kind != 0 {
            check_kind(kind, Some(SharedKind::Queue))?;
        }
        let open = || -> Result<QueueParts> {
            let memory = channel::Queue::open(fetch(queue)?)?;
            if memory.is_neutral() != (kind != 0) {
                return Err(Error::new(ErrorKind::Protocol, "a queue whose messages are in another form"));
            }
            let notes = if kind != 0 { None } else { Some((fetch(into as u32)?, fetch(out as u32)?)) };
            Ok(QueueParts::of(memory, notes))
        };
        Ok(Queue { parts: Arc::new(open().map_err(unread)?), message: PhantomData })
    }
}
