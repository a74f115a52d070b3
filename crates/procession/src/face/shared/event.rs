//! `Event`: a flag to wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{after, in_time, patiently, read_cell, write_cell};
use crate::channel::neutral::SharedKind;
use crate::error::Result;
use crate::sync::{self, Cell};

/// A flag that processes set, clear and wait for.
///
/// ```
/// use procession::{Event, Process};
///
/// fn wait_and_tell((start, done): (Event, Event)) {
///     start.wait();
///     done.set();
/// }
///
/// # fn main() -> procession::Result<()> {
/// let (start, done) = (Event::new()?, Event::new()?);
/// let process = Process::spawn(wait_and_tell, (start.clone(), done.clone()))?;
/// assert!(!done.is_set());
/// start.set();
/// done.wait();
/// process.join()?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Event {
    event: Arc<sync::Event>,
}

impl Event {
    /// An event that is not set.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// assert!(!procession::Event::new()?.is_set());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Event> {
        Ok(Event { event: Arc::new(sync::Event::new(Cell::create(sync::Event::BYTES)?)) })
    }

    /// Sets it, and wakes everybody who waits.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let event = procession::Event::new()?;
    /// event.set();
    /// event.wait(); // returns at once
    /// # Ok(()) }
    /// ```
    pub fn set(&self) {
        self.event.set();
    }

    /// Makes it not set.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let event = procession::Event::new()?;
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// # Ok(()) }
    /// ```
    pub fn clear(&self) {
        self.event.clear();
    }

    /// Whether it is set.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let event = procession::Event::new()?;
    /// event.set();
    /// assert!(event.is_set());
    /// # Ok(()) }
    /// ```
    pub fn is_set(&self) -> bool {
        self.event.is_set()
    }

    /// Waits until it is set.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Event, Process};
    ///
    /// fn ready(event: Event) {
    ///     event.set();
    /// }
    ///
    /// let event = Event::new()?;
    /// let process = Process::spawn(ready, event.clone())?;
    /// event.wait();
    /// process.join()?;
    /// # Ok(()) }
    /// ```
    pub fn wait(&self) {
        let _ = self.wait_until(None);
    }

    /// Waits at most so long until it is set; says whether it was.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// let event = procession::Event::new()?;
    /// assert!(!event.wait_timeout(Duration::from_millis(10)));
    /// event.set();
    /// assert!(event.wait_timeout(Duration::from_millis(10)));
    /// # Ok(()) }
    /// ```
    pub fn wait_timeout(&self, limit: Duration) -> bool {
        in_time(self.wait_until(after(limit))).is_ok_and(|set| set.is_some())
    }

    fn wait_until(&self, until: Option<Instant>) -> Result<()> {
        let mark = self.event.mark();
        patiently(|| self.event.wait(mark, until))
    }
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        write_cell(Some(SharedKind::Event), self.event.cell(), serializer)
    }
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Event {
            event: Arc::new(sync::Event::new(read_cell(Some(SharedKind::Event), deserializer, sync::Event::BYTES)?)),
        })
    }
}
