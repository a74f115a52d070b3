//! Where a sandbox's filter answers `clone3` with EPERM: the C library, which goes on with `clone` after ENOSYS alone, can make no
//! threads there. A filter of this process's own is asked first, and says ENOSYS in its place.
#![allow(unsafe_code)]

use crate::error::{Error, Result};

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IS_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// Where the number of a call and the kind of machine lie in what a filter looks at.
const CALL_AT: u32 = 0;
const MACHINE_AT: u32 = 4;
#[cfg(target_arch = "x86_64")]
const MACHINE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const MACHINE: u32 = 0xC000_00B7;

/// Whether `clone3` is refused by EPERM, whatever it is asked for.
fn is_refused() -> bool {
    // SAFETY: asks for nothing: without a size it is an error wherever the call is known.
    let answer = unsafe { libc::syscall(libc::SYS_clone3, std::ptr::null::<libc::c_void>(), 0usize) };
    answer < 0 && Error::last_os("clone3").errno() == Some(libc::EPERM)
}

fn gains_no_privileges() -> bool {
    // SAFETY: asks for a number.
    unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 }
}

/// Has this process and all that it starts make threads by `clone` where `clone3` is refused by EPERM; returns whether that was so,
/// and is mended. A process must give up gaining privileges by programs that it runs for that; unless it `may` do so, it is
/// done only where it has.
///
/// # Errors
/// The system's.
pub fn make_threads_by_clone(may: bool) -> Result<bool> {
    if !is_refused() || !(may || gains_no_privileges()) {
        return Ok(false);
    }
    let line = |code, k, jump_if_not| libc::sock_filter { code, jt: 0, jf: jump_if_not, k };
    let mut lines = [
        line(LOAD, MACHINE_AT, 0),
        line(IS_EQUAL, MACHINE, 3),
        line(LOAD, CALL_AT, 0),
        line(IS_EQUAL, libc::SYS_clone3 as u32, 1),
        line(ANSWER, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32, 0),
        line(ANSWER, libc::SECCOMP_RET_ALLOW, 0),
    ];
    let program = libc::sock_fprog { len: lines.len() as u16, filter: lines.as_mut_ptr() };
    // SAFETY:
    //   * the first call takes numbers only;
    //   * the second reads the program and its lines, which outlive it.
    let installed = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                libc::SECCOMP_FILTER_FLAG_TSYNC,
                &raw const program,
            ) == 0
    };
    if installed { Ok(true) } else { Err(Error::last_os("seccomp")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_where_the_call_is_not_refused() {
        let before = gains_no_privileges();
        assert!(!make_threads_by_clone(true).unwrap());
        assert_eq!(gains_no_privileges(), before);
    }
}
