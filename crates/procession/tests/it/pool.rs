//! `Pool`.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use procession::{Barrier, Pool, Process, TaskError};

use super::METHOD;

const LIMIT: Duration = Duration::from_secs(20);

fn pool_of(workers: usize) -> procession::Result<Pool> {
    Pool::builder().workers(workers).start_method(METHOD).build()
}

fn square(x: u64) -> u64 {
    x * x
}

fn stall(_: u32) -> u32 {
    loop {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fails in the way that its number says; all others give their number back.
fn risky(number: u32) -> u32 {
    match number {
        1 => panic!("the number {number}"),
        2 => std::process::abort(),
        3 => stall(0),
        4 => std::process::exit(3),
        5 => overflow(&mut [0; 4096]),
        6 => eat(),
        _ => number,
    }
}

#[allow(unconditional_recursion)]
fn overflow(frame: &mut [u8]) -> u32 {
    let mut next = [frame[0].wrapping_add(1); 4096];
    overflow(std::hint::black_box(&mut next)) + u32::from(frame[1])
}

fn eat() -> u32 {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1u8; 4 << 20]);
        std::hint::black_box(&eaten);
        std::thread::sleep(Duration::from_micros(100));
    }
}

#[test]
fn a_map_keeps_the_order() {
    let pool = pool_of(2).unwrap();
    assert_eq!(pool.map(square, 0..4).unwrap(), [0, 1, 4, 9]);
    let many = pool.map(square, 0..50_000).unwrap();
    assert!(many.iter().enumerate().all(|(x, y)| (x * x) as u64 == *y));
    assert!(pool.map(square, []).unwrap().is_empty());
}

fn count_up((number, _): (u64, u64)) -> u64 {
    (0..2000 + number % 7 * 100).fold(number, |sum, _| std::hint::black_box(sum))
}

#[test]
fn the_size_changes_in_the_middle_of_maps_while_workers_are_killed() {
    let pool = Pool::builder().start_method(METHOD).workers(2).retries(20).build().unwrap();
    assert_eq!(pool.resize(0).unwrap_err().kind(), procession::ErrorKind::InvalidInput);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (over, pool) = (&over, &pool);
        scope.spawn(move || {
            // Any order of sizes will do: the parts of a number that grows.
            for round in 0u64.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let random = round.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33;
                let size = 1 + random as usize % 4;
                pool.resize(size).unwrap();
                assert_eq!(pool.workers(), size);
                if random % 5 == 0
                    && let Some(id) = pool.process_ids().first()
                {
                    crate::system::kill("-9", *id);
                }
                std::thread::yield_now();
            }
        });
        for round in 0..20 {
            let answer: Vec<_> = pool.map_each(count_up, (0..500).map(|number| (number, round))).collect();
            assert!(answer.iter().enumerate().all(|(number, x)| x.as_ref() == Ok(&(number as u64))), "{answer:?}");
        }
        over.store(true, Ordering::Relaxed);
    });
    pool.resize(3).unwrap();
    let until = Instant::now() + LIMIT;
    while pool.process_ids().len() != 3 {
        assert!(Instant::now() < until, "{:?}", pool.process_ids());
        let _ = pool.map(square, 0..3);
    }
}

#[test]
fn a_map_ends_with_the_first_failure() {
    let pool = pool_of(2).unwrap();
    let error = pool.map(risky, [7, 1, 8]).unwrap_err();
    assert_eq!((error.index, error.function.ends_with("::risky")), (Some(1), true));
    assert!(error.to_string().contains("::risky, item 1: panicked at") && error.to_string().ends_with("the number 1"));
    assert!(matches!(error.into(), TaskError::Panicked { message, .. } if message == "the number 1"));
    let error = pool.with(()).unwrap().map(|(): &(), x: u32| risky(x), [7, 8, 2]).unwrap_err();
    assert_eq!(error.index, Some(2), "{error}");
    let error = pool.map_init(|| 0, |_: &mut i32, x: u32| risky(x), [1]).unwrap_err();
    assert_eq!(error.index, Some(0), "{error}");
    assert_eq!(pool.map(square, [3]).unwrap(), [9]);
}

#[test]
fn each_failure_is_that_of_its_own_task() {
    let pool = Pool::builder().start_method(METHOD).workers(3).timeout(Duration::from_secs(3)).memory(200 << 20).build().unwrap();
    for (number, outcome) in pool.map_each(risky, 0..10).enumerate() {
        match (number, outcome) {
            (1, Err(TaskError::Panicked { location, .. })) => assert!(location.contains("pool.rs")),
            (2, Err(TaskError::Crashed { signal: 6, .. })) => {}
            (3, Err(TaskError::TimedOut)) => {}
            (4, Err(TaskError::Exited { code: 3, .. })) => {}
            (5, Err(TaskError::Crashed { signal, .. })) => assert!(signal == 11 || signal == 6, "{signal}"),
            (6, Err(TaskError::OverMemory)) => {}
            (number, Ok(value)) => assert_eq!(number as u32, value),
            (number, other) => panic!("{number}: {other:?}"),
        }
    }
    assert_eq!(pool.map(square, 0..3).unwrap(), [0, 1, 4]);
}

#[test]
fn a_timeout_comes_and_not_early() {
    let pool = Pool::builder().start_method(METHOD).workers(1).timeout(Duration::from_millis(300)).build().unwrap();
    pool.map(square, [1]).unwrap();
    let begun = Instant::now();
    let outcome = pool.submit(stall, 0).wait_timeout(LIMIT).unwrap_or_else(|_| panic!("it runs on"));
    assert_eq!(outcome, Err(TaskError::TimedOut));
    assert!(begun.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_task_that_nobody_waits_for_is_still_watched() {
    let pool = Pool::builder().start_method(METHOD).workers(1).timeout(Duration::from_millis(50)).build().unwrap();
    let (stuck, after) = (pool.submit(stall, 0), pool.submit(square, 5));
    let until = Instant::now() + LIMIT;
    while !after.is_done() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(after.wait(), Ok(25));
    assert_eq!(stuck.wait(), Err(TaskError::TimedOut));
}

#[test]
fn a_cancelled_task_ends_whether_it_runs_or_not() {
    let pool = pool_of(1).unwrap();
    let (runs, waits, after) = (pool.submit(stall, 0), pool.submit(stall, 0), pool.submit(square, 5));
    let runs = runs.wait_timeout(Duration::from_millis(100)).unwrap_err();
    assert!(waits.cancel());
    assert!(runs.cancel());
    assert!(!runs.cancel());
    assert_eq!(after.wait(), Ok(25));
    assert_eq!(runs.wait(), Err(TaskError::Cancelled));
    assert_eq!(waits.wait(), Err(TaskError::Cancelled));
}

#[test]
fn a_killed_worker_fails_its_task_alone() {
    let pool = pool_of(2).unwrap();
    let doomed = pool.submit(|_: u8| -> u32 { stall(std::process::id()) }, 0);
    let busy = pool.submit(|_: u8| std::process::id(), 0).wait().unwrap();
    let guilty: Vec<u32> = pool.process_ids().into_iter().filter(|id| *id != busy).collect();
    assert_eq!(guilty.len(), 1);
    rustix_kill(guilty[0]);
    assert!(matches!(doomed.wait(), Err(TaskError::Crashed { signal: 9, .. })));
    assert_eq!(pool.map(square, 0..100).unwrap().len(), 100);
    assert_eq!(pool.process_ids().len(), 2);
}

fn rustix_kill(id: u32) {
    assert!(std::process::Command::new("kill").args(["-9", &id.to_string()]).status().unwrap().success());
}

#[test]
fn retries_run_a_task_again_after_a_crash() {
    fn first_time(path: String) -> u32 {
        let met = std::path::Path::new(&path).exists();
        std::fs::write(&path, "met").unwrap();
        if met { 1 } else { std::process::abort() }
    }
    // The same test of another start method may run beside this one, in the same process.
    let path = std::env::temp_dir().join(format!("procession-retry-{}-{METHOD:?}", std::process::id()));
    let pool = Pool::builder().start_method(METHOD).workers(1).retries(1).build().unwrap();
    let answer = pool.submit(first_time, path.to_str().unwrap().into()).wait();
    std::fs::remove_file(path).unwrap();
    assert_eq!(answer, Ok(1));
    assert!(matches!(pool.submit(risky, 2).wait(), Err(TaskError::Crashed { signal: 6, .. })));
}

#[test]
fn workers_are_replaced_after_so_many_tasks() {
    let pool = Pool::builder().start_method(METHOD).workers(1).max_tasks_per_worker(3).build().unwrap();
    let ids = pool.map(|_: u32| std::process::id(), 0..9).unwrap();
    let distinct: HashSet<u32> = ids.iter().copied().collect();
    assert_eq!(distinct.len(), 3, "{ids:?}");
}

#[test]
fn a_state_is_made_once_a_worker() {
    fn count(calls: &mut u32, _: u32) -> (u32, u32) {
        *calls += 1;
        (std::process::id(), *calls)
    }
    let pool = pool_of(2).unwrap();
    let seen = pool.map_init(|| 0, count, 0..100).unwrap();
    let distinct: HashSet<(u32, u32)> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), 100);
}

static DROPPED: AtomicU32 = AtomicU32::new(0);

struct Heavy;

impl Drop for Heavy {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }
}

fn dropped(_: &mut Heavy, _: u32) -> u32 {
    DROPPED.load(Ordering::Relaxed)
}

#[test]
fn a_worker_has_the_states_of_a_few_calls_only() {
    let pool = pool_of(1).unwrap();
    for call in 1u32..=12 {
        let gone = pool.map_init(|| Heavy, dropped, 0..3).unwrap();
        assert_eq!(gone, [call.saturating_sub(4); 3]);
    }
}

#[test]
fn a_context_reaches_every_call() {
    let pool = pool_of(2).unwrap();
    let with = pool.with(vec![10u64, 20, 30]).unwrap();
    assert_eq!(with.map(|row: &Vec<u64>, index: usize| row[index], [2, 0]).unwrap(), [30, 10]);
    let each: Vec<_> = with.map_each(|row: &Vec<u64>, index: usize| row[index], [1, 9]).collect();
    assert_eq!(each[0], Ok(20));
    assert!(matches!(each[1], Err(TaskError::Panicked { .. })));
}

#[test]
fn an_endless_iterator_is_pulled_only_as_far_as_needed() {
    let pulled = std::cell::Cell::new(0u64);
    let pool = pool_of(2).unwrap();
    let items = (0..).inspect(|_| pulled.set(pulled.get() + 1));
    let first: Vec<u64> = pool.imap(square, items).take(100).map(Result::unwrap).collect();
    assert_eq!(first[99], 9801);
    assert!(pulled.get() < 40_000, "{}", pulled.get());
}

#[test]
fn a_stream_gives_each_item_once() {
    let pool = pool_of(2).unwrap();
    let mut seen = HashSet::new();
    for (number, result) in pool.imap_unordered(square, 0..20_000) {
        assert_eq!(result, Ok((number * number) as u64));
        assert!(seen.insert(number));
    }
    assert_eq!(seen.len(), 20_000);
    let failures = pool.imap(risky, [0, 1, 2, 7]).filter(Result::is_err).count();
    assert_eq!(failures, 2);
}

#[test]
fn large_payloads_come_through() {
    let pool = pool_of(2).unwrap();
    let bytes: Vec<u8> = (0..3_000_000u32).map(|i| (i / 7) as u8).collect();
    for _ in 0..5 {
        assert!(pool.submit(|bytes: Vec<u8>| bytes, bytes.clone()).wait().unwrap() == bytes);
    }
    let rows = pool.map(|row: Vec<f64>| row.into_iter().map(f64::sqrt).collect::<Vec<_>>(), vec![vec![4.0; 50_000]; 4]);
    assert!(rows.unwrap().iter().all(|row| row.len() == 50_000 && row[1] == 2.0));
}

#[test]
fn many_threads_use_one_pool() {
    let pool = pool_of(2).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let pool = &pool;
            scope.spawn(move || {
                for round in 0..20 {
                    assert_eq!(pool.submit(square, thread + round).wait(), Ok((thread + round) * (thread + round)));
                    assert_eq!(pool.map(square, 0..50).unwrap().len(), 50);
                }
            });
        }
    });
}

#[test]
fn a_dropped_pool_leaves_no_process() {
    let pool = pool_of(3).unwrap();
    let ids = pool.process_ids();
    let task = pool.submit(stall, 0);
    drop(pool);
    assert_eq!(task.wait(), Err(TaskError::Cancelled));
    for id in ids {
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}

#[test]
fn a_pool_works_within_a_task() {
    fn inner(n: u64) -> u64 {
        pool_of(2).unwrap().map(square, 0..n).unwrap().into_iter().sum()
    }
    assert_eq!(pool_of(1).unwrap().map(inner, [3, 4]).unwrap(), [5, 14]);
}

#[test]
fn an_initializer_runs_first_and_its_failure_is_that_of_all_tasks() {
    static READY: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let ready = || READY.store(7, std::sync::atomic::Ordering::Relaxed);
    let pool = Pool::builder().start_method(METHOD).workers(2).initializer(ready).build().unwrap();
    let seen = pool.map(|_: u32| READY.load(std::sync::atomic::Ordering::Relaxed), 0..10).unwrap();
    assert!(seen.iter().all(|ready| *ready == 7));
    let pool = Pool::builder().start_method(METHOD).workers(2).initializer(|| panic!("no licence")).build().unwrap();
    for outcome in pool.map_each(square, 0..3) {
        assert!(matches!(outcome, Err(TaskError::Panicked { message, .. }) if message == "no licence"));
    }
    let pool = Pool::builder().start_method(METHOD).workers(2).initializer(|| std::process::abort()).build().unwrap();
    assert!(matches!(pool.submit(square, 1).wait(), Err(TaskError::Crashed { signal: 6, .. })));
}

#[test]
fn tasks_that_come_to_a_pool_that_broke_have_their_outcome() {
    let pool = Pool::builder().start_method(METHOD).workers(1).initializer(|| panic!("no licence")).build().unwrap();
    let is_right = |outcome: &Result<u64, TaskError>| matches!(outcome, Err(TaskError::Panicked { message, .. }) if message == "no licence");
    // Its own thread drives for the first: it must live on for the others.
    for _ in 0..3 {
        let outcome = pool.submit(square, 1).wait_timeout(LIMIT).unwrap();
        assert!(is_right(&outcome), "{outcome:?}");
    }
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| assert!(pool.imap(square, 0..5).all(|outcome| is_right(&outcome))));
            threads.spawn(|| assert!(pool.map_each(square, 0..5).all(|outcome| is_right(&outcome))));
            threads.spawn(|| assert!(is_right(&pool.submit(square, 1).wait())));
        }
    });
}

#[test]
fn workers_that_never_get_ready_are_started_again_so_often_and_no_more() {
    fn count(starts: &str) -> usize {
        std::fs::read_to_string(starts).unwrap_or_default().len()
    }
    fn note_and_die() {
        let path = std::env::temp_dir().join(format!("procession-starts-{}", std::os::unix::process::parent_id()));
        use std::io::Write;
        std::fs::File::options().append(true).create(true).open(path).unwrap().write_all(b"x").unwrap();
        std::process::exit(4);
    }
    let body = |()| {
        let path = std::env::temp_dir().join(format!("procession-starts-{}", std::process::id()));
        let builder = Pool::builder().start_method(METHOD).workers(1).initializer(note_and_die);
        let pool = builder.restart_limit(3).restart_pause(Duration::from_millis(1)).build().unwrap();
        let outcome = pool.submit(square, 1).wait();
        let starts = count(path.to_str().unwrap());
        std::fs::remove_file(path).unwrap();
        (outcome, starts)
    };
    let (outcome, starts) = Process::spawn_by(METHOD, body, ()).unwrap().join().unwrap();
    assert!(matches!(outcome, Err(TaskError::Exited { code: 4, .. })), "{outcome:?}");
    assert_eq!(starts, 4);
}

/// A number that its own process cannot write down where it is 3, and no other process rebuild where it is 5.
#[derive(Debug, PartialEq)]
struct Fussy(u32);

impl serde::Serialize for Fussy {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, 3, "not written");
        serializer.serialize_u32(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Fussy {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Fussy, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert_ne!(number, 5, "not rebuilt");
        Ok(Fussy(number))
    }
}

/// Looks at outcomes of 0 to 7: only 3 and 5 have failed, each with its own cause.
fn judge_fussy(number: u32, outcome: Result<u32, TaskError>) {
    match (number, outcome) {
        (3, Err(TaskError::Codec { message, .. })) => {
            assert!(message.contains("not written") && message.contains("panicked"), "{message}")
        }
        (5, Err(TaskError::Codec { message, .. })) => {
            assert!(message.contains("not rebuilt") && message.contains("panicked"), "{message}")
        }
        (number, outcome) => assert_eq!(outcome, Ok(number)),
    }
}

#[test]
fn a_result_whose_encoding_or_rebuilding_panics_fails_alone() {
    let pool = pool_of(2).unwrap();
    let numbers = |outcome: Result<Fussy, TaskError>| outcome.map(|fussy| fussy.0);
    for (number, outcome) in (0..8).zip(pool.map_each(Fussy, 0..8)) {
        judge_fussy(number, numbers(outcome));
    }
    for (number, outcome) in (0..8).zip(pool.imap(Fussy, 0..8)) {
        judge_fussy(number, numbers(outcome));
    }
    for number in 0..8 {
        judge_fussy(number, numbers(pool.submit(Fussy, number).wait()));
    }
    // With descriptors beside it, which are no other value's afterwards.
    let attached = |number: u32| (procession::Event::new().unwrap(), Fussy(number));
    for (number, outcome) in (0..8).zip(pool.map_each(attached, 0..8)) {
        judge_fussy(number, outcome.map(|(event, fussy)| {
            event.set();
            fussy.0
        }));
    }
    assert_eq!(pool.map(square, [3]).unwrap(), [9]);
}

#[test]
fn an_argument_whose_encoding_or_rebuilding_panics_fails_alone() {
    let pool = pool_of(2).unwrap();
    for (number, outcome) in (0..8).zip(pool.map_each(|fussy: Fussy| fussy.0, (0..8).map(Fussy))) {
        judge_fussy(number, outcome);
    }
    for number in 0..8 {
        judge_fussy(number, pool.submit(|fussy: Fussy| fussy.0, Fussy(number)).wait());
    }
    assert_eq!(pool.map(square, [3]).unwrap(), [9]);
}

#[test]
fn a_panic_ends_its_worker_where_that_is_wanted() {
    let who = |number: u32| if number == 3 { panic!("three") } else { std::process::id() };
    for retire in [false, true] {
        let builder = Pool::builder().start_method(METHOD).workers(1).retire_after_panic(retire);
        let pool = builder.build().unwrap();
        let ids: Vec<_> = pool.map_each(who, 0..8).collect();
        assert!(matches!(&ids[3], Err(TaskError::Panicked { message, .. }) if message == "three"));
        let distinct: HashSet<u32> = ids.iter().flatten().copied().collect();
        assert_eq!((ids.iter().flatten().count(), distinct.len()), (7, 1 + usize::from(retire)));
    }
}

#[test]
fn no_workers_is_an_error() {
    assert!(Pool::new(0).is_err());
}

#[cfg(feature = "async")]
#[test]
fn a_task_is_a_future() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::task::Waker::from(std::sync::Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let pool = pool_of(2).unwrap();
    for x in 0..20 {
        let mut task = std::pin::pin!(pool.submit(square, x));
        let answer = loop {
            match task.as_mut().poll(&mut context) {
                std::task::Poll::Ready(answer) => break answer,
                std::task::Poll::Pending => std::thread::park_timeout(Duration::from_secs(20)),
            }
        };
        assert_eq!(answer, Ok(x * x));
    }
    let task = pool.submit(stall, 0);
    assert!(task.cancel());
    assert!(matches!(std::pin::pin!(task).poll(&mut context), std::task::Poll::Ready(Err(TaskError::Cancelled))));
}

fn touch_and_stall(path: String) -> u32 {
    std::fs::write(format!("{path}-{}", std::process::id()), "runs").unwrap();
    stall(0)
}

/// A place for the notes of tasks, of this test alone.
fn notes(name: &str) -> String {
    let path = std::env::temp_dir().join(format!("procession-{name}-{}-{METHOD:?}", std::process::id()));
    path.to_str().unwrap().into()
}

/// How many tasks have written a note; removes them.
fn await_notes(path: &str, count: usize) {
    let (folder, name) = path.rsplit_once('/').unwrap();
    let until = std::time::Instant::now() + Duration::from_secs(30);
    loop {
        let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let found: Vec<_> = all.filter(|path| path.to_str().is_some_and(|path| path.contains(name))).collect();
        if found.len() >= count {
            return found.into_iter().for_each(|path| std::fs::remove_file(path).unwrap());
        }
        assert!(std::time::Instant::now() < until, "no task runs");
        std::thread::yield_now();
    }
}

#[test]
fn what_runs_of_a_dropped_stream_ends_with_it() {
    let (pool, path) = (pool_of(2).unwrap(), notes("stream"));
    let mut stream = pool.imap_unordered(
        |path: String| if path.is_empty() { 0 } else { touch_and_stall(path) },
        std::iter::once(String::new()).chain(std::iter::repeat(path.clone())),
    );
    assert_eq!(stream.next(), Some((0, Ok(0))));
    await_notes(&path, 2);
    drop(stream);
    assert_eq!(pool.map(square, 0..100).unwrap().len(), 100);
}

#[test]
fn what_runs_of_a_map_that_has_failed_ends_with_it() {
    fn fails_beside((path, both_run): (String, Barrier)) -> u32 {
        both_run.wait().unwrap();
        if path.is_empty() { panic!("failed") } else { touch_and_stall(path) }
    }
    let (pool, path, both_run) = (pool_of(2).unwrap(), notes("map"), Barrier::new(2).unwrap());
    let failed = pool.map(fails_beside, [(path.clone(), both_run.clone()), (String::new(), both_run.clone())]);
    assert!(matches!(failed, Err(error) if matches!(error.error, TaskError::Panicked { .. })));
    // It takes both workers to get beyond the barrier.
    pool.map(|both_run: Barrier| drop(both_run.wait()), [both_run.clone(), both_run]).unwrap();
    await_notes(&path, 0);
}
