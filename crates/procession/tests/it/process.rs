//! `Process`.

use std::time::{Duration, Instant};

use procession::{ErrorKind, Process, TaskError};

use super::METHOD;

const LIMIT: Duration = Duration::from_secs(20);

fn length(text: String) -> usize {
    text.len()
}

fn stall(_: ()) {
    loop {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn fail(what: String) -> u32 {
    match what.as_str() {
        "panic" => panic!("no {what}"),
        "abort" => std::process::abort(),
        _ => std::process::exit(3),
    }
}

#[test]
fn a_function_returns_its_value_to_the_parent() {
    let process = Process::spawn_by(METHOD, length, "seven 7".into()).unwrap();
    assert_eq!(process.join(), Ok(7));
    assert_eq!(process.join(), Ok(7));
    assert!(process.exit_status().unwrap().success());
}

#[test]
fn a_closure_without_captures_is_a_function() {
    let process = Process::spawn_by(METHOD, |(a, b): (i64, i64)| a - b, (3, 5)).unwrap();
    assert_eq!(process.join(), Ok(-2));
}

#[test]
fn a_child_is_another_process_that_never_ran_main() {
    let process =
        Process::spawn_by(METHOD, |()| (std::process::id(), std::env::var_os("PROCESSION_CHILD").is_some()), ()).unwrap();
    let id = process.id();
    assert_eq!(process.join(), Ok((id, false)));
    assert_ne!(id, std::process::id());
}

#[test]
fn a_panic_arrives_with_message_and_place() {
    let process = Process::spawn_by(METHOD, fail, "panic".into()).unwrap();
    match process.join() {
        Err(TaskError::Panicked { message, location, .. }) => {
            assert_eq!(message, "no panic");
            assert!(location.contains("process.rs:"), "{location}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(process.exit_status().unwrap().code(), Some(101));
}

#[test]
fn a_crash_and_an_exit_are_told_apart() {
    let crash = Process::spawn_by(METHOD, fail, "abort".into()).unwrap();
    assert!(matches!(crash.join(), Err(TaskError::Crashed { signal: 6, .. })));
    let exit = Process::spawn_by(METHOD, fail, "exit".into()).unwrap();
    assert!(matches!(exit.join(), Err(TaskError::Exited { code: 3, .. })));
}

#[test]
fn a_process_can_be_killed_and_asked_to_end() {
    for (signal, end) in [(9, Process::kill as fn(&Process<()>)), (15, Process::terminate)] {
        let process = Process::spawn_by(METHOD, stall, ()).unwrap();
        assert!(process.try_join().is_none());
        end(&process);
        assert!(matches!(process.join(), Err(TaskError::Crashed { signal: s, .. }) if s == signal));
    }
}

#[test]
fn a_large_argument_and_result_come_through() {
    let bytes: Vec<u8> = (0..5_000_000u32).map(|i| i as u8).collect();
    let process = Process::spawn_by(METHOD, 
        |mut bytes: Vec<u8>| {
            bytes.reverse();
            bytes
        },
        bytes.clone(),
    )
    .unwrap();
    let mut back = process.join().unwrap();
    back.reverse();
    assert!(back == bytes);
}

#[test]
fn an_argument_that_cannot_be_sent_is_an_error_at_once() {
    #[derive(serde::Deserialize)]
    struct Stubborn;
    impl serde::Serialize for Stubborn {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    let error = Process::spawn_by(METHOD, |_: Stubborn| (), Stubborn).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// Starts a child that runs for ever, and tells who it is.
fn parent_of_a_stalled_child(_: ()) -> u32 {
    let child = Process::spawn_by(METHOD, stall, ()).unwrap();
    child.id()
}

#[test]
fn a_child_ends_with_its_parent() {
    let grandchild = Process::spawn_by(METHOD, parent_of_a_stalled_child, ()).unwrap().join().unwrap();
    let until = Instant::now() + LIMIT;
    let runs = |id: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    while runs(grandchild) {
        assert!(Instant::now() < until, "{grandchild} outlived its parent");
        std::thread::yield_now();
    }
}
