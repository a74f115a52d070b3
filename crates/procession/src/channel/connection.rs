//! Messages on a byte stream, framed as the standard library's `Connection` does, so that both can talk to each other.
//!
//! A frame is the length, four bytes with the highest first, and the message. From 2 GiB on the four bytes are -1 and
//! eight bytes with the length follow.

use crate::error::{Error, ErrorKind, Result};
use crate::platform::Stream;

const SHORT_BYTES: usize = 4;
const LONG_BYTES: usize = 12;
/// From this size on a stream is given more room.
const LARGE_BYTES: usize = 32 * 1024;

/// How far the sending of a message has come; call [`Sending::step`] until it is done.
#[derive(Debug)]
pub struct Sending {
    head: [u8; LONG_BYTES],
    head_bytes: usize,
    sent: usize,
    asked_for_room: bool,
}

impl Sending {
    /// The sending of a message of `size` bytes, from the beginning.
    pub fn new(size: usize) -> Sending {
        let mut head = [0; LONG_BYTES];
        let head_bytes = match i32::try_from(size) {
            Ok(short) => {
                head[..SHORT_BYTES].copy_from_slice(&short.to_be_bytes());
                SHORT_BYTES
            }
            Err(_) => {
                head[..SHORT_BYTES].copy_from_slice(&(-1i32).to_be_bytes());
                head[SHORT_BYTES..].copy_from_slice(&(size as u64).to_be_bytes());
                LONG_BYTES
            }
        };
        Sending { head, head_bytes, sent: 0, asked_for_room: size < LARGE_BYTES }
    }

    /// Sends what the stream takes now of a message in parts; whether everything is sent. When it is not, wait until the stream is
    /// writable.
    ///
    /// # Errors
    /// The system's.
    pub fn step(&mut self, stream: Stream, message: [&[u8]; 3]) -> Result<bool> {
        if !self.asked_for_room {
            self.asked_for_room = true;
            stream.enlarge();
        }
        let [first, second, third] = message;
        let size = self.head_bytes + message.iter().map(|part| part.len()).sum::<usize>();
        while self.sent < size {
            let mut sent = self.sent;
            let left = [&self.head[..self.head_bytes], first, second, third].map(|part| {
                let (gone, left) = part.split_at(sent.min(part.len()));
                sent -= gone.len();
                left
            });
            match stream.write_now(left)? {
                Some(count) => self.sent += count,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

/// How far the length of a message has come; call [`Receiving::step`] until it is known.
#[derive(Debug, Default)]
pub struct Receiving {
    head: [u8; LONG_BYTES],
    got: usize,
}

impl Receiving {
    /// Reads what is there of the length; none if it is not complete: wait until the stream is readable.
    ///
    /// # Errors
    /// `Closed` when the stream ends before a message begins, `Protocol` when it ends within or the length is none.
    pub fn step(&mut self, stream: Stream) -> Result<Option<u64>> {
        loop {
            let want = match self.got {
                ..SHORT_BYTES => SHORT_BYTES,
                _ => match i32::from_be_bytes(self.head[..SHORT_BYTES].try_into().expect("four bytes")) {
                    -1 if self.got == LONG_BYTES => {
                        return Ok(Some(u64::from_be_bytes(self.head[SHORT_BYTES..].try_into().expect("eight bytes"))));
                    }
                    -1 => LONG_BYTES,
                    size => {
                        let size = u64::try_from(size).map_err(|_| protocol("bad message length: it is negative"))?;
                        return Ok(Some(size));
                    }
                },
            };
            match stream.read_now(&mut self.head[self.got..want])? {
                None => return Ok(None),
                Some(0) if self.got == 0 => return Err(Error::new(ErrorKind::Closed, "the other side is closed")),
                Some(0) => return Err(protocol("the stream ended within a message")),
                Some(count) => self.got += count,
            }
        }
    }
}

/// Reads what is there of a message into `into`, of which `got` bytes are filled; whether all are now.
///
/// # Errors
/// `Protocol` when the stream ends within the message.
pub fn receive_body(stream: Stream, into: &mut [u8], got: &mut usize) -> Result<bool> {
    while *got < into.len() {
        match stream.read_now(&mut into[*got..])? {
            None => return Ok(false),
            Some(0) => return Err(protocol("the stream ended within a message")),
            Some(count) => *got += count,
        }
    }
    Ok(true)
}

fn protocol(message: &str) -> Error {
    Error::new(ErrorKind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_message_comes_through_in_pieces() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let (ours, theirs) = (Stream::new(ours.as_raw_fd()), (Stream::new(theirs.as_raw_fd()), theirs, ours));
        let message: Vec<u8> = (0..3_000_000u32).map(|i| i as u8).collect();
        let (mut sending, mut receiving) = (Sending::new(message.len()), Receiving::default());
        let (mut into, mut got, mut sent) = (Vec::new(), 0, false);
        loop {
            sent = sent || sending.step(ours, [&message[..5], &message[5..2_000_000], &message[2_000_000..]]).unwrap();
            if into.is_empty() {
                let size = receiving.step(theirs.0).unwrap().unwrap();
                into = vec![0; size as usize];
            }
            if receive_body(theirs.0, &mut into, &mut got).unwrap() {
                break;
            }
        }
        assert!(sent && into == message);
    }

    #[test]
    fn lengths_beyond_four_bytes_take_twelve() {
        assert_eq!(Sending::new(i32::MAX as usize).head_bytes, SHORT_BYTES);
        let long = Sending::new(i32::MAX as usize + 1);
        assert_eq!(long.head, [255, 255, 255, 255, 0, 0, 0, 0, 128, 0, 0, 0]);
    }

    #[test]
    fn an_end_between_messages_is_not_an_end_within_one() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let stream = Stream::new(theirs.as_raw_fd());
        std::io::Write::write_all(&mut &ours, &[0, 0]).unwrap();
        let mut receiving = Receiving::default();
        assert!(receiving.step(stream).unwrap().is_none());
        drop(ours);
        // What another test starts at this moment has a copy of that end until it runs its program.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let failure = loop {
            match receiving.step(stream) {
                Err(error) => break error,
                Ok(_) => assert!(std::time::Instant::now() < until, "the end stays open"),
            }
        };
        assert_eq!(failure.kind(), ErrorKind::Protocol);
        assert_eq!(Receiving::default().step(stream).unwrap_err().kind(), ErrorKind::Closed);
    }
}
