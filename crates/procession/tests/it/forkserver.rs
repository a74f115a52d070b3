//! The forkserver: what its children are, and what its death does. Each test runs in a process whose children are nobody else's.

use std::path::Path;
use std::time::{Duration, Instant};

use procession::{Event, Process, StartMethod, TaskError};

use crate::system::{children_of, kill, runs};

const LIMIT: Duration = Duration::from_secs(20);

fn stall(_: ()) {
    loop {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn forked<A, R>(function: impl Fn(A) -> R + Copy + 'static, argument: A) -> Process<R>
where
    A: serde::Serialize + serde::de::DeserializeOwned + 'static,
    R: serde::Serialize + serde::de::DeserializeOwned + 'static,
{
    Process::spawn_by(StartMethod::Forkserver, function, argument).unwrap()
}

fn alone<R>(function: impl Fn(()) -> R + Copy + 'static) -> Result<R, TaskError>
where
    R: serde::Serialize + serde::de::DeserializeOwned + 'static,
{
    Process::spawn_by(StartMethod::Spawn, function, ()).unwrap().join()
}

/// The one child that is not in `known`.
fn server_beside(known: &[u32]) -> u32 {
    let others: Vec<u32> = children_of(std::process::id()).into_iter().filter(|id| !known.contains(id)).collect();
    assert_eq!(others.len(), 1, "{others:?}");
    others[0]
}

#[test]
fn a_killed_forkserver_is_started_again_and_its_children_live_on() {
    let body = |()| {
        let (held, free) = (Event::new().unwrap(), Event::new().unwrap());
        let wait = |(held, free): (Event, Event)| {
            held.set();
            free.wait();
            7
        };
        let child = forked(wait, (held.clone(), free.clone()));
        held.wait();
        for _ in 0..3 {
            let server = server_beside(&[child.id()]);
            kill("-9", server);
            assert_eq!(forked(|x: u32| x + 1, 1).join(), Ok(2));
            assert!(!Path::new(&format!("/proc/{server}")).exists(), "a zombie is left");
        }
        free.set();
        child.join().unwrap()
    };
    assert_eq!(alone(body), Ok(7));
}

/// As the forkserver does, and its children in their first moment.
fn ignores_interrupts(id: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    line.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 << 1 != 0)
}

#[test]
fn a_forkserver_that_is_killed_under_load_loses_no_call_and_makes_none_twice() {
    let body = |()| {
        let killed = std::sync::atomic::AtomicBool::new(false);
        let done = std::sync::atomic::AtomicU32::new(0);
        let calls = procession::SharedSlice::<u64>::new(1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while done.load(std::sync::atomic::Ordering::Relaxed) < 60 {
                    for id in children_of(std::process::id()) {
                        if ignores_interrupts(id) {
                            kill("-9", id);
                            killed.store(true, std::sync::atomic::Ordering::Relaxed);
                        }
                    }
                    std::thread::yield_now();
                }
            });
            for _ in 0..60 {
                let call = |calls: procession::SharedSlice<u64>| {
                    calls.lock().unwrap_or_else(procession::Poisoned::into_inner)[0] += 1;
                };
                let before = calls.to_vec()[0];
                match Process::spawn(call, calls.clone()).unwrap().join() {
                    Ok(()) => assert_eq!(calls.to_vec()[0], before + 1),
                    // The killer may have taken a child that had not yet put its signals in order for the forkserver, and
                    // by the time that it kills, the call may be made.
                    Err(TaskError::Crashed { signal: 9, .. }) => assert!(calls.to_vec()[0] - before <= 1),
                    Err(error) => panic!("{error}"),
                }
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        });
        killed.into_inner()
    };
    assert_eq!(alone(body), Ok(true));
}

#[test]
fn a_stopped_forkserver_is_given_up() {
    let body = |()| {
        let child = forked(stall, ());
        let server = server_beside(&[child.id()]);
        kill("-STOP", server);
        let answer = forked(|x: u32| x + 1, 1).join().unwrap();
        child.kill();
        assert!(!runs(server));
        answer
    };
    assert_eq!(alone(body), Ok(2u32));
}

#[test]
fn a_forkserver_ends_with_its_process() {
    let body = |()| {
        let child = forked(stall, ());
        let server = server_beside(&[child.id()]);
        (server, child.id())
    };
    let (server, child) = alone(body).unwrap();
    let until = Instant::now() + LIMIT;
    while runs(server) || runs(child) {
        assert!(Instant::now() < until, "{server} or {child} is left");
        std::thread::yield_now();
    }
}

#[test]
fn a_child_has_the_directory_the_environment_and_the_streams_of_the_moment() {
    let body = |()| {
        assert_eq!(forked(|x: u8| x, 1).join(), Ok(1));
        std::env::set_current_dir("/proc/self").unwrap();
        std::env::set_current_dir("/").unwrap();
        let seen = |()| {
            let names = ["PROCESSION_TEST_NEW", "PROCESSION_CHILD"].map(|name| std::env::var(name).ok());
            (std::env::current_dir().unwrap(), names)
        };
        set_variable();
        let (directory, names) = forked(seen, ()).join().unwrap();
        assert_eq!(directory, Path::new("/"));
        assert_eq!(names, [Some("a=b".to_owned()), None]);
    };
    assert_eq!(alone(body), Ok(()));
}

#[allow(unsafe_code)]
fn set_variable() {
    // SAFETY: the process has no thread that reads the environment just now.
    unsafe { std::env::set_var("PROCESSION_TEST_NEW", "a=b") };
}

#[test]
fn a_child_has_clean_signals_and_only_its_own_descriptors() {
    let body = |()| {
        let _file = std::fs::File::open("/proc/self/exe").unwrap();
        let look = |_: Event| {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let files = std::fs::read_dir("/proc/self/fd").unwrap().count();
            let parent = std::os::unix::process::parent_id();
            (status, files, parent)
        };
        let mut seen = Vec::new();
        for method in [StartMethod::Forkserver, StartMethod::Spawn] {
            let process = Process::spawn_by(method, look, Event::new().unwrap()).unwrap();
            let (status, files, parent) = process.join().unwrap();
            assert_eq!(parent, std::process::id());
            seen.push(files);
            for line in status.lines().filter(|line| line.starts_with("SigBlk") || line.starts_with("SigIgn")) {
                let mask = u64::from_str_radix(line[8..].trim(), 16).unwrap();
                // Rust's runtime ignores SIGPIPE; 32 and 33 are the C library's own.
                assert_eq!(mask & !(1 << 12 | 0b11 << 31), 0, "{method:?}: {line}");
            }
        }
        assert_eq!(seen[0], seen[1]);
    };
    assert_eq!(alone(body), Ok(()));
}

#[test]
fn many_threads_start_children_at_once() {
    let body = |()| {
        std::thread::scope(|scope| {
            for thread in 0..8u32 {
                scope.spawn(move || {
                    for round in 0..5 {
                        assert_eq!(forked(|x: u32| x * 2, thread + round).join(), Ok((thread + round) * 2));
                    }
                });
            }
        });
        children_of(std::process::id()).len()
    };
    assert_eq!(alone(body), Ok(1));
}

#[test]
fn a_signal_to_the_first_thread_of_a_child_reaches_it() {
    // `abort` and `raise` go by the number that the C library keeps of a thread.
    let crash = forked(|code: u32| if code > 0 { std::process::abort() } else { code }, 1);
    assert!(matches!(crash.join(), Err(TaskError::Crashed { signal: 6, .. })));
    let threads = |()| std::thread::spawn(|| 3).join().unwrap();
    assert_eq!(forked(threads, ()).join(), Ok(3));
}
