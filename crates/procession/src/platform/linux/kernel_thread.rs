//! A thread that the kernel alone knows: it has the thread pointer of the one that starts it, and nothing of the C library.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

use crate::error::{Error, Result};

/// What such a thread runs; it ends when that returns.
pub(super) type Run = extern "C" fn(*mut c_void) -> c_int;

const FLAGS: c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

/// Starts a thread that runs `run(argument)`, on the stack whose end is `top`; returns the kernel's number of it.
///
/// The call of the kernel is made here where the processor is known: musl's `clone` refuses threads, since it cannot
/// know of them. The C library's does the same elsewhere.
///
/// # Safety
/// * `top` is the end of memory that is that thread's alone as long as it runs, and a multiple of 16;
/// * `run` uses nothing that belongs to the thread of this call: neither `errno` nor thread-locals;
/// * what `argument` points to, if it is no number, lives as long as the thread.
///
/// # Errors
/// The system's.
pub(super) unsafe fn start(run: Run, top: *mut c_void, argument: *mut c_void) -> Result<c_int> {
    // SAFETY: the same as for this function.
    let answer = unsafe { clone(run, top, argument) };
    if answer < 0 {
        return Err(Error::os("clone", -answer));
    }
    Ok(answer)
}

/// Returns the thread's number, or an error's below 0.
///
/// # Safety
/// As [`start`].
#[cfg(target_arch = "x86_64")]
unsafe fn clone(run: Run, top: *mut c_void, argument: *mut c_void) -> c_int {
    let answer: isize;
    // SAFETY:
    //   * in this thread, only the registers named change, as the kernel's interface for this processor says;
    //   * the new thread has the same registers but for the stack, which is its own, and does not leave this block: it
    //     calls `run` with the stack aligned as a call needs it, and ends;
    //   * its frame pointer is 0, so that who walks its stack ends here.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "mov edi, eax",
            "mov eax, {exit}",
            "syscall",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("rax") libc::SYS_clone as isize => answer,
            in("rdi") FLAGS as isize,
            in("rsi") top,
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            in("r12") argument,
            in("r13") run,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    answer as c_int
}

/// Returns the thread's number, or an error's below 0.
///
/// # Safety
/// As [`start`].
#[cfg(target_arch = "aarch64")]
unsafe fn clone(run: Run, top: *mut c_void, argument: *mut c_void) -> c_int {
    let answer: isize;
    // SAFETY: as for the other processor; here the kernel changes no register but the first.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x30, xzr",
            "mov x0, x9",
            "blr x10",
            "mov x8, {exit}",
            "svc 0",
            "2:",
            exit = const libc::SYS_exit,
            inlateout("x0") FLAGS as isize => answer,
            in("x8") libc::SYS_clone,
            in("x1") top,
            in("x2") 0,
            in("x3") 0,
            in("x4") 0,
            in("x9") argument,
            in("x10") run,
        );
    }
    answer as c_int
}

/// Returns the thread's number, or an error's below 0.
///
/// # Safety
/// As [`start`].
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn clone(run: Run, top: *mut c_void, argument: *mut c_void) -> c_int {
    // SAFETY: as for this function.
    match unsafe { libc::clone(run, top, FLAGS, argument) } {
        -1 => -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EAGAIN),
        thread => thread,
    }
}
