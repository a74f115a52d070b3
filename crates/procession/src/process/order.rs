//! The file between a child and its parent: an order one way, an outcome back.

use std::ffi::CString;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use crate::error::{Error, ErrorKind, Result};
use crate::platform;

// The head is words: how far the child is; its process id, if a forkserver made it; and the sizes of what follows: the
// order, the environment, the outcome.
const HEAD_BYTES: usize = 48;
const STATE_AT: u64 = 0;
const ID_AT: u64 = 8;
const ORDER_SIZE_AT: u64 = 16;
const ENVIRONMENT_SIZE_AT: u64 = 24;
const OUTCOME_SIZE_AT: u64 = 32;

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Progress {
    /// The child has not turned to its order.
    Started = 0,
    /// The child has turned to it.
    Arrived = 1,
    /// Its function returned.
    Returned = 2,
    /// Its function failed.
    Failed = 3,
}

/// The file.
#[derive(Debug)]
pub(super) struct OrderFile(File);

pub(super) fn file_error(error: std::io::Error) -> Error {
    match error.raw_os_error() {
        Some(errno) => Error::os("the child's file", errno),
        None => Error::new(ErrorKind::Protocol, format!("the child's file: {error}")),
    }
}

impl OrderFile {
    /// A file with `order`, and with the environment if the child does not have it anyway.
    pub(super) fn create(order: &[u8], environment: Option<&[CString]>) -> Result<OrderFile> {
        let file = OrderFile(File::from(platform::memory_file("procession-order", 0, false)?));
        let environment: Vec<u8> = environment
            .iter()
            .flat_map(|all| all.iter())
            .flat_map(|entry| entry.as_bytes_with_nul())
            .copied()
            .collect();
        let mut bytes = Vec::with_capacity(HEAD_BYTES + order.len() + environment.len());
        for word in [Progress::Started as u64, 0, order.len() as u64, environment.len() as u64, 0, 0] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        bytes.extend_from_slice(order);
        bytes.extend_from_slice(&environment);
        platform::check_file_size(bytes.len())?;
        file.0.write_all_at(&bytes, 0).map_err(file_error)?;
        Ok(file)
    }

    /// The file behind a descriptor.
    pub(super) fn open(file: OwnedFd) -> OrderFile {
        OrderFile(File::from(file))
    }

    pub(super) fn descriptor(&self) -> &File {
        &self.0
    }

    fn word(&self, at: u64) -> Result<u64> {
        let mut word = [0; 8];
        self.0.read_exact_at(&mut word, at).map_err(file_error)?;
        Ok(u64::from_ne_bytes(word))
    }

    fn set_word(&self, at: u64, word: u64) -> Result<()> {
        self.0.write_all_at(&word.to_ne_bytes(), at).map_err(file_error)
    }

    fn part(&self, at: u64, size: u64) -> Result<Vec<u8>> {
        if at.saturating_add(size) > platform::file_size(&self.0)? as u64 {
            return Err(Error::new(ErrorKind::Protocol, "the child's file is cut off"));
        }
        let mut bytes = vec![0; size as usize];
        self.0.read_exact_at(&mut bytes, at).map_err(file_error)?;
        Ok(bytes)
    }

    /// The order.
    pub(super) fn order(&self) -> Result<Vec<u8>> {
        self.part(HEAD_BYTES as u64, self.word(ORDER_SIZE_AT)?)
    }

    /// The environment, if it came with the order.
    pub(super) fn environment(&self) -> Result<Option<Vec<CString>>> {
        let size = self.word(ENVIRONMENT_SIZE_AT)?;
        if size == 0 {
            return Ok(None);
        }
        let bytes = self.part((HEAD_BYTES as u64).saturating_add(self.word(ORDER_SIZE_AT)?), size)?;
        let entries = bytes.split(|byte| *byte == 0).filter(|entry| !entry.is_empty());
        Ok(Some(entries.filter_map(|entry| CString::new(entry).ok()).collect()))
    }

    /// The process id that a child of a forkserver wrote; none if there is no such child.
    pub(super) fn id(&self) -> Result<Option<i32>> {
        Ok(i32::try_from(self.word(ID_AT)?).ok().filter(|id| *id > 0))
    }

    pub(super) fn set_id(&self, id: u32) -> Result<()> {
        self.set_word(ID_AT, id.into())
    }

    /// How far the child is.
    pub(super) fn progress(&self) -> Result<Progress> {
        let known = [Progress::Started, Progress::Arrived, Progress::Returned, Progress::Failed];
        let state = self.word(STATE_AT)?;
        let nonsense = || Error::new(ErrorKind::Protocol, "the child's file says nothing known");
        known.into_iter().find(|progress| *progress as u64 == state).ok_or_else(nonsense)
    }

    pub(super) fn set_progress(&self, progress: Progress) -> Result<()> {
        self.set_word(STATE_AT, progress as u64)
    }

    fn outcome_at(&self) -> Result<u64> {
        let before = self.word(ORDER_SIZE_AT)?.saturating_add(self.word(ENVIRONMENT_SIZE_AT)?);
        Ok(before.saturating_add(HEAD_BYTES as u64))
    }

    /// The outcome that the child left.
    pub(super) fn outcome(&self) -> Result<Vec<u8>> {
        self.part(self.outcome_at()?, self.word(OUTCOME_SIZE_AT)?)
    }

    pub(super) fn set_outcome(&self, outcome: &[u8]) -> Result<()> {
        self.0.write_all_at(outcome, self.outcome_at()?).map_err(file_error)?;
        self.set_word(OUTCOME_SIZE_AT, outcome.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_and_its_outcome_come_through_the_file() {
        let environment = [c"A=1".into(), c"B=".into()];
        let ours = OrderFile::create(b"do it", Some(&environment)).unwrap();
        let theirs = OrderFile::open(ours.descriptor().try_clone().unwrap().into());
        assert_eq!(theirs.order().unwrap(), b"do it");
        assert_eq!(theirs.environment().unwrap().unwrap(), environment);
        assert_eq!((ours.id().unwrap(), ours.progress().unwrap()), (None, Progress::Started));
        theirs.set_id(7).unwrap();
        theirs.set_outcome(b"done").unwrap();
        theirs.set_progress(Progress::Returned).unwrap();
        assert_eq!((ours.id().unwrap(), ours.progress().unwrap()), (Some(7), Progress::Returned));
        assert_eq!(ours.outcome().unwrap(), b"done");
        theirs.set_word(OUTCOME_SIZE_AT, 1 << 50).unwrap();
        assert_eq!(ours.outcome().unwrap_err().kind(), ErrorKind::Protocol);
    }
}
