//! What a process that a program forked by itself may do with the pools and processes it has copies of, and with its own.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use procession::{Event, Pool, Process, StartMethod, TaskError};

const LIMIT: Duration = Duration::from_secs(60);
const METHODS: [StartMethod; 2] = [StartMethod::Forkserver, StartMethod::Spawn];

/// No other test may hold a lock of this library while one forks.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The child that is forked here, or none in that child.
fn forked() -> Option<Pid> {
    // SAFETY: nobody else holds a lock that the child needs: tests take turns, and the harness only waits for them.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => None,
        ForkResult::Parent { child } => Some(child),
    }
}

/// Ends the child; `is_well` is what its parent wants to know.
fn end(is_well: bool) -> ! {
    // SAFETY: ends the process at once.
    unsafe { nix::libc::_exit(i32::from(!is_well)) }
}

/// Whether the child was well, once it has ended.
fn was_well(child: Pid) -> bool {
    let until = Instant::now() + LIMIT;
    loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)).unwrap() {
            WaitStatus::StillAlive if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            WaitStatus::StillAlive => kill(child, Signal::SIGKILL).unwrap(),
            status => return status == WaitStatus::Exited(child, 0),
        }
    }
}

/// Runs `check` in a process that is forked here, and says whether it was true there.
fn in_a_fork(check: impl FnOnce() -> bool) -> bool {
    match forked() {
        Some(child) => was_well(child),
        None => end(std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).unwrap_or(false)),
    }
}

fn pool_of(workers: usize, method: StartMethod) -> Pool {
    Pool::builder().workers(workers).start_method(method).build().unwrap()
}

fn wait(go: Event) -> u32 {
    go.wait();
    7
}

fn belongs_elsewhere(error: &str) -> bool {
    error.contains(&format!("process {}", std::os::unix::process::parent_id()))
}

#[test]
fn a_copy_that_is_dropped_leaves_pool_and_process_alone() {
    let _turn = alone();
    for method in METHODS {
        let go = Event::new().unwrap();
        let pool = pool_of(2, method);
        let task = pool.submit(wait, go.clone());
        let process = Process::spawn_by(method, wait, go.clone()).unwrap();
        let mut stream = pool.imap(|x: u32| x + 1, 0..);
        assert_eq!(stream.next(), Some(Ok(1)));
        let with = pool.with(go.clone()).unwrap();
        match forked() {
            None => {
                drop((stream, with, task, process));
                drop(pool);
                end(true);
            }
            Some(child) => assert!(was_well(child)),
        }
        go.set();
        assert_eq!(task.wait(), Ok(7));
        assert_eq!(process.join(), Ok(7));
        assert_eq!(stream.next(), Some(Ok(2)));
        assert_eq!(with.map(|go: &Event, x: u32| u32::from(go.is_set()) + x, [1]), Ok(vec![2]));
        assert_eq!(pool.map(|x: u32| x * x, 0..4).unwrap(), [0, 1, 4, 9]);
    }
}

#[test]
fn a_copy_that_is_used_says_whose_it_is() {
    let _turn = alone();
    for method in METHODS {
        let go = Event::new().unwrap();
        let pool = pool_of(1, method);
        let task = pool.submit(wait, go.clone());
        let process = Process::spawn_by(method, wait, go.clone()).unwrap();
        let mut stream = pool.imap(|x: u32| x + 1, 0..);
        assert!(in_a_fork(|| {
            let refused = |error: TaskError| belongs_elsewhere(&error.to_string());
            assert!(refused(pool.map(|x: u32| x, [1]).unwrap_err().into()));
            assert!(pool.map_each(|x: u32| x, [1, 2]).all(|outcome| outcome.is_err_and(refused)));
            assert!(refused(pool.submit(|x: u32| x, 1).wait().unwrap_err()));
            assert!(refused(pool.imap(|x: u32| x, [1]).next().unwrap().unwrap_err()));
            assert!(refused(stream.next().unwrap().unwrap_err()));
            assert!(belongs_elsewhere(&pool.with(1).unwrap_err().to_string()));
            assert!(!task.cancel() && task.is_done() && pool.process_ids().is_empty());
            assert!(refused(process.join().unwrap_err()) && process.exit_status().is_none());
            // What is shared works in any process that has it.
            go.set();
            true
        }));
        assert_eq!(task.wait(), Ok(7));
        assert_eq!(process.join(), Ok(7));
        assert_eq!(stream.next(), Some(Ok(1)));
        assert_eq!(pool.process_ids().len(), 1);
    }
}

#[test]
fn a_forked_process_has_pools_and_processes_of_its_own() {
    let _turn = alone();
    for method in METHODS {
        let pool = pool_of(1, method);
        assert!(in_a_fork(|| {
            let own = pool_of(2, method);
            assert_eq!(own.map(|x: u32| x + 1, [1, 2]).unwrap(), [2, 3]);
            assert_eq!(own.submit(|x: u32| x + 1, 3).wait(), Ok(4));
            assert_eq!(Process::spawn_by(method, |x: u32| x, 5).unwrap().join(), Ok(5));
            true
        }));
        assert_eq!(pool.map(|x: u32| x, [6]).unwrap(), [6]);
    }
}

#[test]
fn a_process_that_is_forked_while_a_thread_starts_others_starts_its_own() {
    let _turn = alone();
    for method in METHODS {
        let is_over = AtomicBool::new(false);
        let all_well = std::thread::scope(|scope| {
            // Its children are waited for by whoever starts the next one.
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    drop(Process::spawn_by(method, |x: u32| x, 1).unwrap());
                }
            });
            let own = || Process::spawn_by(method, |x: u32| x, 5).unwrap().join() == Ok(5);
            let all_well = (0..20).all(|_| in_a_fork(own));
            is_over.store(true, Ordering::Relaxed);
            all_well
        });
        assert!(all_well);
    }
}
