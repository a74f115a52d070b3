//! Environment variables of a process that has just begun.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

unsafe extern "C" {
    static mut environ: *mut *mut c_char;
}

/// Sets variables, or removes those without a value, all in one piece of memory: each call of `setenv` touches several
/// pages of the heap, which a process that was just forked would copy. For a process that has just begun, where no other
/// thread reads or changes the environment.
///
/// Names that are empty or hold `=`, and what holds a NUL, are left out.
pub fn change_environment(changes: &[(&[u8], Option<&[u8]>)]) {
    let allowed = |name: &[u8]| !name.is_empty() && !name.iter().any(|byte| matches!(byte, 0 | b'='));
    let good =
        |(name, value): &&(&[u8], Option<&[u8]>)| allowed(name) && !value.is_some_and(|value| value.contains(&0));
    let changes: Vec<_> = changes.iter().filter(good).collect();
    let mut entries: Vec<*mut c_char> = Vec::with_capacity(256);
    // SAFETY: as the caller is alone, `environ` is null or an array of strings that ends with a null pointer.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = CStr::from_ptr(*entry).to_bytes();
            let name = text.split(|byte| *byte == b'=').next().unwrap_or_default();
            if !changes.iter().any(|(changed, _)| *changed == name) {
                entries.push(*entry);
            }
            entry = entry.add(1);
        }
    }
    // The environment lasts as long as the process, and `getenv` gives out pointers into it.
    let size = changes.iter().filter_map(|(name, value)| Some(name.len() + value.as_ref()?.len() + 2)).sum();
    let mut strings = Vec::with_capacity(size);
    for (name, value) in changes {
        if let Some(value) = value {
            for piece in [name, &b"="[..], value, b"\0"] {
                strings.extend_from_slice(piece);
            }
        }
    }
    entries.extend(strings.leak().split_inclusive_mut(|byte| *byte == 0).map(|entry| entry.as_mut_ptr().cast()));
    entries.push(ptr::null_mut());
    let entries = entries.leak();
    // SAFETY: the array ends with a null pointer, it and its strings are never freed; nobody reads it meanwhile.
    unsafe { environ = entries.as_mut_ptr() };
}

/// Makes `entries`, each `NAME=value`, the environment. For a process with one thread.
pub(crate) fn set_environment(entries: &[CString]) {
    let pairs = entries.iter().filter_map(|entry| {
        let bytes = entry.as_bytes();
        let middle = bytes.iter().skip(1).position(|byte| *byte == b'=')? + 1;
        Some((OsStr::from_bytes(&bytes[..middle]), OsStr::from_bytes(&bytes[middle + 1..])))
    });
    for (name, _) in std::env::vars_os() {
        // SAFETY: the one caller is a process that was just copied and has one thread.
        unsafe { std::env::remove_var(name) };
    }
    for (name, value) in pairs {
        // SAFETY: as above.
        unsafe { std::env::set_var(name, value) };
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Has this very test run in a process of its own: others read the environment at the same time.
    #[test]
    fn variables_are_set_and_removed_and_others_stay() {
        if std::env::var_os("STAYS").is_some() {
            return change_and_look();
        }
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--test-threads=1"])
            .arg("platform::imp::environment::tests::variables_are_set_and_removed_and_others_stay")
            .envs([("OLD", "o"), ("GONE", "g"), ("STAYS", "s")])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success() && said.contains("1 passed"), "{said}");
    }

    fn change_and_look() {
        let set = |name: &'static str, value: Option<&'static str>| (name.as_bytes(), value.map(str::as_bytes));
        change_environment(&[
            set("NEW", Some("1=2")),
            set("OLD", Some("")),
            set("GONE", None),
            set("A=B", Some("x")),
            set("", Some("x")),
            set("NUL", Some("\0")),
        ]);
        let get = |name| std::env::var(name).ok();
        assert_eq!(get("NEW").as_deref(), Some("1=2"));
        assert_eq!(get("OLD").as_deref(), Some(""));
        assert_eq!(get("STAYS").as_deref(), Some("s"));
        assert_eq!((get("GONE"), get("NUL"), get("A")), (None, None, None));
        // SAFETY: the other threads of this program wait for this test.
        unsafe { std::env::set_var("LATER", "l") };
        assert_eq!((get("LATER").as_deref(), get("NEW").as_deref()), (Some("l"), Some("1=2")));
    }
}
