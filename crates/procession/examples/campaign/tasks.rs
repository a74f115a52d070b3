//! The tasks of the campaign, and what must come of them.

use std::time::{Duration, Instant};

use procession::{Pool, Process, StartMethod, TaskError};
use serde::{Deserialize, Serialize};

use crate::system::children_of;

/// How long a task may take: time enough to fill the memory allowed on a machine that is busy with other work.
const LIMIT: Duration = Duration::from_secs(6);
/// The kernel lists a thread for a moment after it was joined.
const SETTLE: Duration = Duration::from_secs(5);
/// One task in so many is a bad one.
const BAD: u64 = 50;

fn task(number: u64) -> u64 {
    if !number.is_multiple_of(BAD) {
        return number * 3;
    }
    match number / BAD % 7 {
        0 => panic!("task {number}"),
        1 => std::process::abort(),
        2 => dive(&mut [0; 512]),
        3 => loop {
            std::hint::spin_loop();
        },
        4 => (0..1 << 20).map(|_| std::hint::black_box(vec![1u8; 4 << 20].leak()).len() as u64).sum(),
        5 => std::process::exit(3),
        _ => {
            let own = std::process::id().to_string();
            let _ = std::process::Command::new("kill").args(["-SEGV", &own]).status();
            number
        }
    }
}

#[allow(unconditional_recursion)]
fn dive(frame: &mut [u64; 512]) -> u64 {
    let mut next = [frame[0] + 1; 512];
    dive(std::hint::black_box(&mut next)) + frame[1]
}

fn is_right(number: u64, outcome: &Result<u64, TaskError>) -> bool {
    if !number.is_multiple_of(BAD) {
        return *outcome == Ok(number * 3);
    }
    match (number / BAD % 7, outcome) {
        (0, Err(TaskError::Panicked { message, .. })) => *message == format!("task {number}"),
        (0, Err(TaskError::Crashed { signal: 6, .. })) => cfg!(panic = "abort"),
        (1, Err(TaskError::Crashed { signal, .. })) => *signal == 6,
        (2 | 6, Err(TaskError::Crashed { signal, .. })) => *signal == 11,
        (3, Err(TaskError::TimedOut)) | (4, Err(TaskError::OverMemory)) => true,
        (5, Err(TaskError::Exited { code, .. })) => *code == 3,
        _ => false,
    }
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Runs so many tasks in workers started by `method`, within a process of its own, where what is open and who is a child is
/// nobody else's; says what was there more after than before.
pub fn run(method: StartMethod, tasks: u64) -> Result<Left, TaskError> {
    let by_forkserver = method == StartMethod::Forkserver;
    Process::spawn_by(method, campaign, (by_forkserver, tasks))?.join()
}

/// What was there more after than before.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Left {
    files: usize,
    children: usize,
    mappings: usize,
    threads: usize,
}

impl Left {
    fn beyond(&self, before: &Left) -> Left {
        Left {
            files: self.files.saturating_sub(before.files),
            children: self.children.saturating_sub(before.children),
            mappings: self.mappings.saturating_sub(before.mappings),
            threads: self.threads.saturating_sub(before.threads),
        }
    }
}

fn now() -> Left {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    Left {
        files: open_files(),
        children: children_of(std::process::id()).len(),
        mappings: maps.lines().filter(|line| line.contains("/memfd:procession")).count(),
        threads: std::fs::read_dir("/proc/self/task").unwrap().count(),
    }
}

fn campaign((by_forkserver, tasks): (bool, u64)) -> Left {
    let method = if by_forkserver { StartMethod::Forkserver } else { StartMethod::Spawn };
    let pool = || Pool::builder().workers(3).start_method(method).timeout(LIMIT).memory(200 << 20).build();
    // What stays for the life of a process, as the forkserver does, is there from the first pool on.
    pool().unwrap().map(|x: u64| x, 0..2).unwrap();
    let before = now();
    let pool = pool().unwrap();
    let mut seen = 0;
    for (number, outcome) in pool.imap(task, 1..=tasks).enumerate() {
        assert!(is_right(number as u64 + 1, &outcome), "task {}: {outcome:?}", number + 1);
        seen += 1;
    }
    assert_eq!(seen, tasks);
    drop(pool);
    let until = Instant::now() + SETTLE;
    loop {
        let left = now().beyond(&before);
        if left == Left::default() || Instant::now() > until {
            return left;
        }
        std::thread::yield_now();
    }
}
