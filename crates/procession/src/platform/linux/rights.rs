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
const NOTE_BYTES: usize = 64;

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

/// Sends a short note with a descriptor, or without; false if there is no room now.
///
/// # Errors
/// The system's, among them that the other end is closed.
pub fn send_note(socket: impl AsFd, note: &[u8], file: Option<BorrowedFd<'_>>) -> Result<bool> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = SendAncillaryBuffer::new(&mut space);
    let files: Vec<BorrowedFd<'_>> = file.into_iter().collect();
    if !files.is_empty() && !rights.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Error::new(ErrorKind::Protocol, "no room for a descriptor"));
    }
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    match sendmsg(socket, &[IoSlice::new(note)], &mut rights, flags) {
        Ok(_) => Ok(true),
        // Too many descriptors on their way count as no room.
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::TOOMANYREFS) => Ok(false),
        Err(error) => Err(error).during("sendmsg"),
    }
}

/// Waits for a note and its descriptor.
///
/// # Errors
/// `Closed` when the other end is; `Interrupted` when a signal handler ran; the system's.
pub fn receive_note(socket: impl AsFd) -> Result<(Vec<u8>, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut rights = RecvAncillaryBuffer::new(&mut space);
    let mut note = [0; NOTE_BYTES];
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut note)], &mut rights, RecvFlags::CMSG_CLOEXEC);
    let got = got.during("recvmsg")?.bytes;
    if got == 0 {
        return Err(Error::new(ErrorKind::Closed, "the other side is closed"));
    }
    let mut file = None;
    for message in rights.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            file = files.last().or(file);
        }
    }
    Ok((note[..got].to_vec(), file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_arrives_with_its_note() {
        let (ours, theirs) = note_pair().unwrap();
        let file = crate::platform::memory_file("test", 4096, false).unwrap();
        assert!(send_note(&ours, b"one", Some(file.as_fd())).unwrap());
        assert!(send_note(&ours, b"two", None).unwrap());
        let (note, copy) = receive_note(&theirs).unwrap();
        assert_eq!((&note[..], crate::platform::file_size(copy.unwrap()).unwrap()), (&b"one"[..], 4096));
        assert!(receive_note(&theirs).unwrap().1.is_none());
        drop(ours);
        assert_eq!(receive_note(&theirs).unwrap_err().kind(), ErrorKind::Closed);
    }
}
