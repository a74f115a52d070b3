//! Reading and writing what a descriptor has or takes right now.
#![allow(unsafe_code)]

use std::os::fd::RawFd;

use super::{Readiness, wait_descriptors};
use crate::error::{Error, Result};

/// What pipes and sockets keep by themselves, 64 and 208 KiB, is too few for large messages; every user may ask for this.
const LARGE_BYTES: libc::c_int = 1 << 20;

/// A descriptor by its number, for the moment of a call: the interpreter owns it and may close it at any time.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    file: RawFd,
    is_socket: bool,
}

/// Whether the last call failed because the kernel knows no call that never waits for this kind of file, pipes before
/// Linux 6.4, or a sandbox's filter answers. A ready pipe has room for `PIPE_BUF` bytes at least.
fn is_refused() -> bool {
    use libc::{EINVAL, ENOSYS, EOPNOTSUPP, EPERM, ESPIPE};
    matches!(std::io::Error::last_os_error().raw_os_error(), Some(EOPNOTSUPP | ENOSYS | ESPIPE | EPERM | EINVAL))
}

fn is_not_yet(error: &Error) -> bool {
    matches!(error.errno(), Some(libc::EAGAIN))
}

impl Stream {
    /// The stream behind a number.
    pub fn new(file: RawFd) -> Stream {
        // SAFETY: all zeros are a valid `stat`, which the call fills.
        let kind = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::fstat(file, &mut stat) == 0 { stat.st_mode & libc::S_IFMT } else { 0 }
        };
        Stream { file, is_socket: kind == libc::S_IFSOCK }
    }

    /// Its number.
    pub fn number(self) -> RawFd {
        self.file
    }

    /// Makes room for large messages, where that can be had.
    pub fn enlarge(self) {
        // SAFETY: changes the capacity of a pipe or socket; the option's value is an int that outlives the call.
        unsafe {
            if self.is_socket {
                let (value, size) = (std::ptr::from_ref(&LARGE_BYTES).cast(), size_of_val(&LARGE_BYTES));
                libc::setsockopt(self.file, libc::SOL_SOCKET, libc::SO_SNDBUF, value, size as libc::socklen_t);
            } else {
                libc::fcntl(self.file, libc::F_SETPIPE_SZ, LARGE_BYTES);
            }
        }
    }

    /// Whether a socket's other side still can read.
    ///
    /// # Errors
    /// `EPIPE` when it is closed.
    pub fn check_reader(self) -> Result<()> {
        // SAFETY: no bytes are read from the address, as there are none to send.
        match unsafe { libc::send(self.file, std::ptr::null(), 0, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) } {
            0.. => Ok(()),
            _ => not_yet(Error::last_os("send")).map(drop),
        }
    }

    /// How much memory the messages take that the other side of a socket has not read.
    ///
    /// # Errors
    /// The system's.
    pub fn unread(self) -> Result<usize> {
        let mut bytes: libc::c_int = 0;
        // SAFETY: the call writes one number, which outlives it.
        match unsafe { libc::ioctl(self.file, libc::TIOCOUTQ, &raw mut bytes) } {
            0 => Ok(bytes as usize),
            _ => Err(Error::last_os("ioctl")),
        }
    }

    fn is_ready(self, what: Readiness) -> Result<bool> {
        Ok(!wait_descriptors(&[(self.file, what)], Some(std::time::Instant::now()), None)?.is_empty())
    }

    /// Reads what is there into `into`, at most as much as fits; none if nothing is there yet, 0 at the end.
    ///
    /// # Errors
    /// The system's.
    pub fn read_now(self, into: &mut [u8]) -> Result<Option<usize>> {
        let (start, size) = (into.as_mut_ptr().cast(), into.len());
        let mut count = if self.is_socket {
            // SAFETY: `start` and `size` are those of a slice that this call alone may change.
            unsafe { libc::recv(self.file, start, size, libc::MSG_DONTWAIT) }
        } else {
            let part = libc::iovec { iov_base: start, iov_len: size };
            // The system call itself, as the C library has had the function since glibc 2.26 only; an offset of -1 is the
            // stream's own place, its upper half is not looked at where a long has 64 bits.
            // SAFETY: as above.
            unsafe {
                libc::syscall(libc::SYS_preadv2, self.file, &part, 1_usize, -1_isize, 0_usize, libc::RWF_NOWAIT)
                    as isize
            }
        };
        if count < 0 && is_refused() {
            if !self.is_ready(Readiness::Read)? {
                return Ok(None);
            }
            // SAFETY: as above.
            count = unsafe { libc::read(self.file, start, size) };
        }
        match count {
            0.. => Ok(Some(count as usize)),
            _ => not_yet(Error::last_os("read")),
        }
    }

    /// Writes as much of `parts`, one after the other, as there is room for now; none if there is no room yet.
    ///
    /// # Errors
    /// The system's, `EPIPE` when the other side is closed.
    pub fn write_now<const PARTS: usize>(self, parts: [&[u8]; PARTS]) -> Result<Option<usize>> {
        let mut vectors =
            parts.map(|bytes| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() });
        let mut count = if self.is_socket {
            // SAFETY: all zeros are a valid `msghdr`; the vectors are those of slices that outlive the call, which
            // only reads them.
            unsafe {
                let mut message: libc::msghdr = std::mem::zeroed();
                message.msg_iov = vectors.as_mut_ptr();
                message.msg_iovlen = PARTS as _;
                libc::sendmsg(self.file, &message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
            }
        } else {
            let first = vectors.as_ptr();
            // SAFETY: the vectors are those of slices that outlive the call, which only reads them.
            unsafe {
                libc::syscall(libc::SYS_pwritev2, self.file, first, PARTS, -1_isize, 0_usize, libc::RWF_NOWAIT) as isize
            }
        };
        if count < 0 && is_refused() {
            if !self.is_ready(Readiness::Write)? {
                return Ok(None);
            }
            let some = parts.into_iter().find(|part| !part.is_empty()).unwrap_or_default();
            // SAFETY: start and length are those of a slice, which the call only reads.
            count = unsafe { libc::write(self.file, some.as_ptr().cast(), some.len().min(libc::PIPE_BUF)) };
        }
        match count {
            0.. => Ok(Some(count as usize)),
            _ => not_yet(Error::last_os("write")),
        }
    }
}

fn not_yet(error: Error) -> Result<Option<usize>> {
    if is_not_yet(&error) { Ok(None) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn what_was_not_read_and_who_can_read_is_known() {
        let (mut ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = Stream::new(ours.as_raw_fd());
        stream.check_reader().unwrap();
        assert_eq!(stream.unread().unwrap(), 0);
        ours.write_all(b"four").unwrap();
        assert!(stream.unread().unwrap() > 0);
        theirs.read_exact(&mut [0; 4]).unwrap();
        assert_eq!(stream.unread().unwrap(), 0);
        drop(theirs);
        // What another test starts at this moment has a copy of that end until it runs its program.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let failure = loop {
            match stream.check_reader() {
                Err(error) => break error,
                Ok(()) => assert!(std::time::Instant::now() < until, "the end stays open"),
            }
        };
        assert_eq!(failure.errno(), Some(libc::EPIPE));
    }
}
