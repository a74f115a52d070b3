//! `Process`.

use std::time::{Duration, Instant};

use procession::platform::{pidfd_of, send_signal, set_signal_mask, signal_mask};
use procession::{ErrorKind, Pool, Process, TaskError};

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

#[test]
fn a_result_whose_rebuilding_panics_is_an_error_each_time_it_is_asked_for() {
    #[derive(Debug, PartialEq, serde::Serialize)]
    struct Fussy;
    impl<'de> serde::Deserialize<'de> for Fussy {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Fussy, D::Error> {
            panic!("not rebuilt")
        }
    }
    let process = Process::spawn_by(METHOD, |()| Fussy, ()).unwrap();
    for _ in 0..2 {
        match process.join() {
            Err(TaskError::Codec { message, .. }) => {
                assert!(message.contains("Fussy") && message.contains("not rebuilt"), "{message}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_result_with_more_descriptors_than_a_process_may_open_names_the_cause() {
    fn all_but_one(_: ()) -> procession::Event {
        let event = procession::Event::new().unwrap();
        while let Ok(file) = std::fs::File::open("/dev/null") {
            std::mem::forget(file);
        }
        event
    }
    let message = match Process::spawn_by(METHOD, all_but_one, ()).unwrap().join() {
        Err(TaskError::Codec { message, .. }) => message,
        other => panic!("{:?}", other.map(drop)),
    };
    assert!(message.contains("Event") && message.contains("os error 24"), "{message}");
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

/// Of SIGUSR1 and SIGTERM, as in a mask of signals.
const USR1: u64 = 1 << 9;
const TERM: u64 = 1 << 14;

#[test]
fn a_process_blocks_the_signals_that_the_thread_blocks_which_starts_it() {
    let before = signal_mask();
    set_signal_mask(USR1);
    let process = Process::spawn_by(METHOD, |()| signal_mask(), ());
    set_signal_mask(before);
    assert_eq!(process.unwrap().join(), Ok(USR1));
}

/// Sends SIGTERM to a process that is not this one's child.
fn ask_to_end(id: u32) {
    let pidfd = pidfd_of(id as i32).unwrap();
    send_signal(pidfd, 15, 0, 0).unwrap();
}

/// Makes a pool, has its worker asked to end by somebody else, and tells whether it is still the same afterwards.
fn parent_of_a_worker_that_is_asked_to_end(awaits: bool) -> bool {
    // Whoever blocks it means to wait for it.
    set_signal_mask(if awaits { TERM } else { 0 });
    let pool = Pool::builder().workers(1).start_method(METHOD).build().unwrap();
    let worker = || pool.map(|()| (std::process::id(), signal_mask()), [()]).unwrap()[0];
    let first = worker();
    assert_eq!(first.1, 0, "workers block nothing");
    Process::spawn_by(METHOD, ask_to_end, first.0).unwrap().join().unwrap();
    let until = Instant::now() + LIMIT;
    while !awaits && worker() == first {
        assert!(Instant::now() < until, "the worker goes on");
    }
    worker() == first
}

#[test]
fn a_worker_leaves_a_signal_that_asks_it_to_end_to_a_parent_that_awaits_it() {
    let parent = |awaits| Process::spawn_by(METHOD, parent_of_a_worker_that_is_asked_to_end, awaits).unwrap();
    assert_eq!(parent(true).join(), Ok(true));
    assert_eq!(parent(false).join(), Ok(false));
}
