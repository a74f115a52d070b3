//! How many processors the machine has.
#![allow(unsafe_code)]

use std::sync::OnceLock;

/// How many processors are there, whether this process may use them or not: its children may.
pub fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| {
        // SAFETY: asks for a number.
        let count = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        usize::try_from(count).unwrap_or(1).max(1)
    })
}
