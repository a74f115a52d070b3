//! Descriptors on their way to another process, over a socket that keeps messages apart.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::error::{During, Error, ErrorKind, Result};

/// The longest note beside a descriptor.
pub const NOTE_BYTES: usize = 128;
/// The most descriptors that go with one: the kernel's limit.
pub const MOST_FILES: usize = 253;

/// Two ends of a socket that keeps messages apart.
///
/// # Errors
/// The system's.
pub fn note_pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).during("socketpair")
}

/// Two ends of a stream.
///
/// # Errors
/// The system's.
pub fn stream_pair() -> Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).during("socketpair")
}

/// Sends a short note with some descriptors; false if there is no room now.
///
/// # Errors
/// The system's, among them that the other end is closed; `InvalidInput` for more than [`MOST_FILES`] descriptors.
pub fn send_note(socket: impl AsFd, note: &[u8], files: &[BorrowedFd<'_>]) -> Result<bool> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    if !files.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(files)) {
        let message = format!("at most {MOST_FILES} descriptors travel at once, not {}", files.len());
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(socket, &[IoSlice::new(note)], &mut rights, flags) {
        Ok(_) => Ok(true),
        // Too many descriptors on their way count as no room.
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::TOOMANYREFS) => Ok(false),
        Err(error) => Err(error).during("sendmsg"),
    }
}

/// Waits for a note and its descriptors.
///
/// # Errors
/// `Closed` when the other end is; `Interrupted` when a signal handler ran; the system's.
pub fn receive_note(socket: impl AsFd) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    receive(socket, RecvFlags::empty(), NOTE_BYTES)
}

/// Takes the next `size` bytes of a stream and the descriptors that were sent with them; none if they are not there yet.
///
/// # Errors
/// Those of [`receive_note`].
pub fn receive_beside(stream: impl AsFd, size: usize) -> Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    receive_some(stream, RecvFlags::DONTWAIT, size)
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
        Err(rustix::io::Errno::AGAIN) => Ok(None),
        Err(error) => Err(error).during("recv"),
    }
}

/// As [`receive_note`], but none if there is no note yet.
///
/// # Errors
/// Those of [`receive_note`].
pub fn receive_note_now(socket: impl AsFd) -> Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    receive_some(socket, RecvFlags::DONTWAIT, NOTE_BYTES)
}

fn receive_some(socket: impl AsFd, flags: RecvFlags, size: usize) -> Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    match receive(socket, flags, size) {
        Err(error) if error.errno() == Some(rustix::io::Errno::AGAIN.raw_os_error()) => Ok(None),
        answer => answer.map(Some),
    }
}

fn receive(socket: impl AsFd, flags: RecvFlags, size: usize) -> Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut note = [0; NOTE_BYTES];
    let flags = flags | RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut note[..size.min(NOTE_BYTES)])], &mut rights, flags)
        .during("recvmsg")?
        .bytes;
    if got == 0 {
        return Err(Error::new(ErrorKind::Closed, "the other side is closed"));
    }
    let mut files = Vec::new();
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(more) = message {
            files.extend(more);
        }
    }
    Ok((note[..got].to_vec(), files))
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
