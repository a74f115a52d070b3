//! A worker that is killed after each instruction of claim, run, publish and sleep: every task has one outcome, none runs
//! twice, and the pool goes on.
//!
//! The worker is single-stepped by ptrace. Some positions are tried, evenly spread; `PROCESSION_STEPS=1000` tries so many,
//! `PROCESSION_STEPS=all` every one: then build with `--release`, or it takes very long.

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use procession::{Bytes, Pool, StartMethod, TaskError};

const TASKS: u64 = 3;
/// A worker that has not reached its next instruction after this sleeps.
const ASLEEP: Duration = Duration::from_millis(300);
const OUTCOME_LIMIT: Duration = Duration::from_secs(20);

fn own_id(_: u64) -> u32 {
    std::process::id()
}

/// Leaves a byte for each run.
fn leave_a_mark(folder: &str, number: u64) {
    use std::io::Write;
    let marks = std::fs::OpenOptions::new().append(true).create(true).open(format!("{folder}/{number}"));
    marks.and_then(|mut marks| marks.write_all(b"x")).expect("the folder of the marks is there");
}

fn small((folder, number): (String, u64)) -> u64 {
    leave_a_mark(&folder, number);
    number * 3
}

fn large((folder, number): (String, u64)) -> Bytes {
    leave_a_mark(&folder, number);
    vec![number as u8; 40_000].into()
}

/// One worker, the folder of its marks, and what was seen so far.
struct Steps {
    pool: Pool,
    folder: PathBuf,
    killed: u64,
    lost: u64,
}

impl Steps {
    fn new(method: StartMethod) -> Steps {
        let folder = std::env::temp_dir().join(format!("procession-steps-{}-{method:?}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let pool = Pool::builder().workers(1).start_method(method).build().unwrap();
        Steps { pool, folder, killed: 0, lost: 0 }
    }

    /// Kills the worker after `steps` instructions, unless it sleeps before; how many there were, and whether it slept.
    fn kill_after(&self, worker: Pid, steps: u64) -> (u64, bool) {
        let (done, over) = (AtomicU64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            // A wait for the next stop has no limit of its own.
            let watch = scope.spawn(|| {
                let mut seen = u64::MAX;
                while !over.load(Relaxed) && (seen != done.load(Relaxed) || !sleeps(worker)) {
                    seen = done.load(Relaxed);
                    std::thread::park_timeout(ASLEEP);
                }
                let asleep = !over.load(Relaxed);
                if asleep {
                    kill(worker, Signal::SIGKILL).unwrap();
                }
                asleep
            });
            let mut stopped = true;
            while stopped && done.load(Relaxed) < steps {
                stopped = ptrace::step(worker, None).is_ok() && stops(worker);
                done.fetch_add(u64::from(stopped), Relaxed);
            }
            over.store(true, Relaxed);
            watch.thread().unpark();
            if stopped {
                kill(worker, Signal::SIGKILL).unwrap();
                while stops(worker) {}
            }
            (done.load(Relaxed), watch.join().unwrap())
        })
    }

    /// Gives tasks to the worker, kills it after `steps` instructions, and checks what became of the tasks.
    fn run<R, F>(&mut self, function: F, steps: u64, is_right: impl Fn(u64, &R) -> bool) -> (u64, bool)
    where
        R: serde::Serialize + serde::de::DeserializeOwned + 'static,
        F: Fn((String, u64)) -> R + Copy + 'static,
    {
        let worker = self.pool.map(own_id, 0..1).unwrap()[0];
        let worker = Pid::from_raw(worker.cast_signed());
        ptrace::attach(worker).unwrap();
        assert!(matches!(waitpid(worker, None), Ok(WaitStatus::Stopped(..))));
        let folder = self.folder.to_str().unwrap().to_owned();
        let tasks: Vec<_> = (0..TASKS).map(|number| self.pool.submit(function, (folder.clone(), number))).collect();
        let reached = self.kill_after(worker, steps);
        self.killed += 1;
        let mut lost = 0;
        for (number, task) in (0..TASKS).zip(tasks) {
            let outcome = task.wait_timeout(OUTCOME_LIMIT).unwrap_or_else(|_| panic!("hung after {steps} steps"));
            let marks = std::fs::read(self.folder.join(number.to_string())).unwrap_or_default().len();
            match outcome {
                Ok(result) => {
                    assert!(is_right(number, &result), "a wrong result after {steps} steps");
                    assert_eq!(marks, 1, "task {number} ran {marks} times, killed after {steps} steps");
                }
                // 0: the forkserver could not ask how it ended while it was traced.
                Err(TaskError::Crashed { signal: 9 | 0, .. }) => {
                    lost += 1;
                    assert!(marks <= 1, "task {number} ran {marks} times, killed after {steps} steps");
                }
                Err(other) => panic!("{other:?} after {steps} steps"),
            }
            let _ = std::fs::remove_file(self.folder.join(number.to_string()));
        }
        assert!(lost <= 1, "{lost} tasks lost with one worker, killed after {steps} steps");
        self.lost += lost;
        reached
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Whether the worker waits for something: where it stands at an instruction, it is this process that was held up.
fn sleeps(worker: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{worker}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('S'))
}

/// Waits until the worker stands at its next instruction; false when it has ended.
fn stops(worker: Pid) -> bool {
    !matches!(waitpid(worker, None), Ok(WaitStatus::Signaled(..) | WaitStatus::Exited(..)) | Err(_))
}

/// How many positions are wanted; none: the few of a usual test run.
fn wanted(all: u64) -> Option<u64> {
    let text = std::env::var("PROCESSION_STEPS").ok()?;
    Some(if text == "all" { all } else { text.parse().expect("PROCESSION_STEPS is a number or `all`") })
}

/// How far the positions within `all` instructions are apart.
fn stride(all: u64) -> usize {
    (all / wanted(all).unwrap_or(10).max(1)).max(1) as usize
}

fn try_positions(method: StartMethod) {
    // A hand-over between two CPUs would take ten times as long as a step.
    let cpus = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::count()).find(|cpu| cpus.is_set(*cpu).unwrap_or(false)).unwrap()).unwrap();
    sched_setaffinity(Pid::from_raw(0), &one).unwrap();
    let mut steps = Steps::new(method);
    let right_small = |number: u64, result: &u64| *result == number * 3;
    let right_large = |number: u64, result: &Bytes| result.len() == 40_000 && result[39_999] == number as u8;
    let (all, asleep) = steps.run(small, u64::MAX, right_small);
    assert!(asleep && all > 500, "the worker was not followed to its sleep: {all} steps");
    for position in (0..all).step_by(stride(all)) {
        steps.run(small, position, right_small);
    }
    if wanted(all).is_some() {
        let (all, _) = steps.run(large, u64::MAX, right_large);
        for position in (0..all).step_by(stride(all)) {
            steps.run(large, position, right_large);
        }
    }
    assert_eq!(steps.pool.map(|x: u64| x + 1, 0..100).unwrap(), (1..=100).collect::<Vec<_>>());
    println!(
        "{method:?}: {} kills within {all} instructions, {} tasks lost with their worker, 0 wrong",
        steps.killed, steps.lost
    );
}

#[test]
fn no_instruction_of_a_worker_is_a_bad_one_to_die_at() {
    try_positions(StartMethod::Forkserver);
}
