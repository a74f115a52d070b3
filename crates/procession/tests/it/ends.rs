//! Tasks that eight threads hand in while their pool comes to its end.
//!
//! `PROCESSION_CAMPAIGN=10000 cargo test --release ends` runs so many rounds, a thread that meets the end each; fewer otherwise.

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use procession::{Pool, TaskError};

use super::METHOD;

const THREADS: usize = 8;
const LIMIT: Duration = Duration::from_secs(60);

fn bouts() -> usize {
    let rounds = std::env::var("PROCESSION_CAMPAIGN").ok().and_then(|text| text.parse().ok());
    rounds.unwrap_or(10 * THREADS).div_ceil(THREADS)
}

fn square(x: u64) -> u64 {
    x * x
}

/// Lets threads go on at moments that differ from bout to bout.
fn idle(seed: usize) {
    let until = Instant::now() + Duration::from_micros((seed as u64).wrapping_mul(2_654_435_761) % 1500);
    while Instant::now() < until {
        std::thread::yield_now();
    }
}

#[test]
fn who_waits_for_a_task_of_a_pool_that_is_dropped_hears_of_it() {
    for bout in 0..bouts() {
        let pool = Arc::new(Pool::builder().start_method(METHOD).workers(2).build().unwrap());
        let start = Barrier::new(THREADS);
        std::thread::scope(|threads| {
            for number in 0..THREADS {
                let (pool, start) = (pool.clone(), &start);
                threads.spawn(move || {
                    start.wait();
                    idle(bout * THREADS + number);
                    let tasks: Vec<_> = (0..3).map(|_| pool.submit(square, 3)).collect();
                    // The last of the threads ends the pool.
                    drop(pool);
                    for task in tasks {
                        let outcome = task.wait_timeout(LIMIT).expect("a task that nobody ends");
                        assert!(matches!(outcome, Ok(9) | Err(TaskError::Cancelled)), "{outcome:?}");
                    }
                });
            }
            drop(pool);
        });
    }
}

#[test]
fn who_hands_in_a_task_while_the_initializer_fails_gets_its_failure() {
    fn fail() {
        idle(std::process::id() as usize);
        panic!("no licence");
    }
    let is_right = |outcome: &Result<u64, TaskError>| matches!(outcome, Err(TaskError::Panicked { message, .. }) if message == "no licence");
    for bout in 0..bouts() {
        let builder = Pool::builder().start_method(METHOD).workers(2).initializer(fail);
        let pool = builder.build().unwrap();
        let start = Barrier::new(THREADS);
        std::thread::scope(|threads| {
            for number in 0..THREADS {
                let (pool, start) = (&pool, &start);
                threads.spawn(move || {
                    start.wait();
                    idle(bout * THREADS + number);
                    let outcome = pool.submit(square, 3).wait_timeout(LIMIT).expect("a task that nobody ends");
                    assert!(is_right(&outcome), "{outcome:?}");
                    let outcomes = match number % 3 {
                        0 => pool.map_each(square, 0..3).collect::<Vec<_>>(),
                        1 => pool.imap(square, 0..3).collect(),
                        _ => pool.imap_unordered(square, 0..3).map(|(_, outcome)| outcome).collect(),
                    };
                    assert!(outcomes.len() == 3 && outcomes.iter().all(is_right), "{outcomes:?}");
                });
            }
        });
    }
}
