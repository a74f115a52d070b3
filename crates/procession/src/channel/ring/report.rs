//! A worker's last words, at the end of its segment.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::platform::{self};
use crate::shared_memory::Segment;

/// What is kept of a worker's last words.
pub(super) const REPORT_BYTES: usize = 1 << 20;

/// Where in a worker's segment its last words begin.
pub(super) fn report_at(segment: &Segment) -> usize {
    report_place(segment.size()).start
}

/// Where in a worker's segment of `size` bytes its last words are.
pub fn report_place(size: usize) -> std::ops::Range<usize> {
    let start = size.saturating_sub(REPORT_BYTES) / REPORT_BYTES * REPORT_BYTES;
    start..(start + REPORT_BYTES).min(size)
}

/// What a worker writes about itself beside its work, by signal handlers that know a descriptor and nothing else: the end of
/// its segment, where its descriptor writes. The place where the next write begins is that of all copies of the descriptor.
#[derive(Clone, Debug)]
pub struct Report {
    segment: Arc<Segment>,
}

impl Report {
    /// That of the worker whose segment it is.
    pub fn of(segment: Arc<Segment>) -> Report {
        Report { segment }
    }

    /// Has the next write begin at the beginning again.
    ///
    /// # Errors
    /// The system's.
    pub fn rewind(&self) -> Result<()> {
        platform::set_position(&*self.segment, report_at(&self.segment))
    }

    /// How many bytes were written since.
    pub fn size(&self) -> usize {
        let end = usize::try_from(platform::position(&*self.segment)).unwrap_or(0);
        end.saturating_sub(report_at(&self.segment)).min(REPORT_BYTES)
    }

    /// These bytes.
    ///
    /// # Errors
    /// The system's.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = vec![0; self.size()];
        platform::read_at(&*self.segment, report_at(&self.segment), &mut bytes)?;
        Ok(bytes)
    }

    /// A descriptor to write by.
    ///
    /// # Errors
    /// The system's.
    pub fn descriptor(&self) -> Result<OwnedFd> {
        self.segment.as_fd().try_clone_to_owned().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))
    }
}
