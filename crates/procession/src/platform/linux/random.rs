//! Random bytes of the system.

use rustix::rand::{GetRandomFlags, getrandom};

/// Bytes that nobody knows; waits for the system to have some, just after it was started.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut done = 0;
    while done < N {
        // It fails by a signal alone, and where the call is forbidden.
        match getrandom(&mut bytes[done..], GetRandomFlags::empty()) {
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return from_file(),
        }
    }
    bytes
}

/// As where a sandbox forbids the call.
fn from_file<const N: usize>() -> [u8; N] {
    use std::io::Read;
    let mut bytes = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("the system has random bytes");
    bytes
}
