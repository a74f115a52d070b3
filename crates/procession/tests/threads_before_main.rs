//! A program with a thread before `main`: its forkserver cannot be copied, which is said, and does not matter otherwise.
#![allow(unsafe_code)]

use procession::{ErrorKind, Pool, Process, StartMethod};

extern "C" fn start_a_thread() {
    std::thread::spawn(|| {
        loop {
            std::thread::park();
        }
    });
}

#[used]
// SAFETY: the section holds pointers to functions of this type; the priority is before the crate's own entry.
#[unsafe(link_section = ".init_array.00200")]
static BEFORE_MAIN: extern "C" fn() = start_a_thread;

#[test]
fn a_forkserver_with_a_thread_is_refused_and_the_default_works() {
    let error = Process::spawn_by(StartMethod::Forkserver, |x: u32| x, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("2 threads") && error.to_string().contains("StartMethod::Spawn"), "{error}");
    assert_eq!(Process::spawn(|x: u32| x, 1).unwrap().join(), Ok(1));
    assert_eq!(Pool::new(2).unwrap().map(|x: u32| x + 1, 0..3).unwrap(), [1, 2, 3]);
    assert!(Pool::builder().start_method(StartMethod::Forkserver).build().is_err());
}
