//! A descriptor that wakes a sleeper.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::event::EventfdFlags;

use super::process::above_streams;
use crate::error::{During, Result};

/// Rings for whoever waits for its descriptor; rings that nobody heard add up to one.
#[derive(Debug)]
pub struct Doorbell {
    file: OwnedFd,
}

impl Doorbell {
    /// A new bell, silent.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> Result<Doorbell> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Doorbell { file: above_streams(rustix::event::eventfd(0, flags).during("eventfd")?)? })
    }

    /// The bell behind a descriptor that another process passed here.
    pub fn from_fd(file: OwnedFd) -> Doorbell {
        Doorbell { file }
    }

    /// Wakes the sleeper, now or when it comes to wait.
    pub fn ring(&self) {
        // A full counter (EAGAIN) rings already.
        let _ = rustix::io::write(&self.file, &1u64.to_ne_bytes());
    }

    /// Makes the bell silent again.
    pub fn hush(&self) {
        let _ = rustix::io::read(&self.file, &mut [0u8; 8]);
    }
}

impl From<Doorbell> for OwnedFd {
    fn from(bell: Doorbell) -> OwnedFd {
        bell.file
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for Doorbell {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
