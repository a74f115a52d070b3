//! Descriptors on their way to another process, over a socket that keeps messages apart.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use super::process::above_streams;
use crate::error::{During, Error, ErrorKind, Result};

/// The longest note beside a descriptor.
pub const NOTE_BYTES: usize = 128;
/// The most descriptors that go with one: the kernel's limit.
pub const MOST_FILES: usize = 253;

fn both_above_streams(pair: rustix::io::Result<(OwnedFd, OwnedFd)>) -> Result<(OwnedFd, OwnedFd)> {
    let (one, other) = pair.during("socketpair")?;
    Ok((above_streams(one)?, above_streams(other)?))
}

/// Two ends of a socket that keeps messages apart.
///
/// # Errors
/// The system's.
pub fn note_pair() -> Result<(OwnedFd, OwnedFd)> {
    both_above_streams(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None))
}

/// Two ends of a stream.
///
/// # Errors
/// The system's.
pub fn stream_pair() -> Result<(OwnedFd, OwnedFd)> {
    both_above_streams(socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None))
}

/// Sends a short note with some descriptors; false if there is no room now.
///
/// # Errors
/// The system's, among them that the other end is closed; `InvalidInput` for more than [`MOST_FILES`] descriptors.
pub fn send_note(socket: impl AsFd, note: &[u8], files: &[BorrowedFd<'_>]) -> Result<bool> {
    match send_beside(socket, note, &[], files) {
        // Too many descriptors on their way count as no room.
        Err(error) if error.errno() == Some(Errno::TOOMANYREFS.raw_os_error()) => Ok(false),
        answer => answer.map(|count| count.is_some()),
    }
}

/// Sends as much of `head` and then `body` as there is room for now, and with the first byte some descriptors; none if there
/// is no room yet.
///
/// # Errors
/// Those of [`send_note`]; `ETOOMANYREFS` while too many descriptors are on their way.
pub fn send_beside(socket: impl AsFd, head: &[u8], body: &[u8], files: &[BorrowedFd<'_>]) -> Result<Option<usize>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(files)) {
        let message = format!("at most {MOST_FILES} descriptors travel at once, not {}", files.len());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(socket, &[IoSlice::new(head), IoSlice::new(body)], &mut rights, flags) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error).during("sendmsg"),
    }
}

/// Waits for a note and its descriptors.
///
/// # Errors
/// `Closed` when the other end is; `Interrupted` when a signal handler ran; the system's.
pub fn receive_note(socket: impl AsFd) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let note = receive_whole(socket, RecvFlags::empty())?;
    note.ok_or_else(|| Error::os("recvmsg", Errno::AGAIN.raw_os_error()))
}

/// Takes what is there of a stream, at most as much as fits, and adds the descriptors that were sent with it to `files`; waits
/// for something, or gives none if nothing is there yet; 0 at the end.
///
/// # Errors
/// The system's; `Interrupted` when a signal handler ran during the wait.
pub fn receive_beside(
    stream: impl AsFd,
    waits: bool,
    into: &mut [u8],
    files: &mut Vec<OwnedFd>,
) -> Result<Option<usize>> {
    let flags = if waits { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
    match receive(stream, flags, into, files) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::AGAIN) => Ok(None),
        // The other end was closed with something unread.
        Err(Errno::CONNRESET) => Ok(Some(0)),
        Err(error) => Err(error).during("recvmsg"),
    }
}

/// The first bytes that wait in a socket, at most `SIZE`, without taking them; none if there are none.
///
/// # Errors
/// Those of [`receive_note`].
pub fn peek<const SIZE: usize>(socket: impl AsFd) -> Result<Option<Vec<u8>>> {
    let mut bytes = [0; SIZE];
    match rustix::net::recv(socket, &mut bytes[..], RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((0, _)) => Err(Error::new(ErrorKind::Closed, "the other side is closed")),
        Ok((got, _)) => Ok(Some(bytes[..got.min(SIZE)].to_vec())),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error).during("recv"),
    }
}

/// As [`receive_note`], but none if there is no note yet.
///
/// # Errors
/// Those of [`receive_note`].
pub fn receive_note_now(socket: impl AsFd) -> Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    receive_whole(socket, RecvFlags::DONTWAIT)
}

fn receive_whole(socket: impl AsFd, flags: RecvFlags) -> Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let (mut note, mut files) = ([0; NOTE_BYTES], Vec::new());
    match receive(socket, flags, &mut note, &mut files) {
        Ok(0) => Err(Error::new(ErrorKind::Closed, "the other side is closed")),
        Ok(got) => Ok(Some((note[..got].to_vec(), files))),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error).during("recvmsg"),
    }
}

fn receive(
    socket: impl AsFd,
    flags: RecvFlags,
    into: &mut [u8],
    files: &mut Vec<OwnedFd>,
) -> rustix::io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(socket, &mut [IoSliceMut::new(into)], &mut rights, flags)?.bytes;
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            files.extend(more);
        }
    }
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_arrives_with_its_note() {
        let (ours, theirs) = note_pair().unwrap();
        let file = crate::platform::memory_file("test", 4096, false).unwrap();
        assert!(send_note(&ours, b"one", &[file.as_fd()]).unwrap());
        assert!(send_note(&ours, b"two", &[]).unwrap());
        let (note, copy) = receive_note(&theirs).unwrap();
        assert_eq!((&note[..], crate::platform::file_size(&copy[0]).unwrap()), (&b"one"[..], 4096));
        assert!(receive_note(&theirs).unwrap().1.is_empty());
        assert!(receive_note_now(&theirs).unwrap().is_none());
        drop(ours);
        assert_eq!(receive_note(&theirs).unwrap_err().kind(), ErrorKind::Closed);
    }
}
