//! A pool that is looked at from outside.

use std::time::{Duration, Instant};

use procession::pool::{Look, PoolView};
use procession::{Event, Pool};

use super::METHOD;

const LIMIT: Duration = Duration::from_secs(20);

fn wait_for(go: Event) {
    go.wait();
}

fn even(x: u64) -> u64 {
    assert!(x.is_multiple_of(2), "{x} is odd");
    x
}

/// The pool of this process that runs a function: other tests have pools, too.
fn seen<F>(look: &mut Look, function: &F) -> Option<PoolView> {
    let name = std::any::type_name_of_val(function);
    let mut pools = look.around().pools.into_iter().filter(|pool| pool.pid == std::process::id());
    pools.rfind(|pool| pool.board.jobs.iter().any(|job| job.function == name))
}

#[test]
fn a_pool_shows_what_its_workers_run() {
    let (pool, go) = (Pool::builder().workers(2).start_method(METHOD).build().unwrap(), Event::new().unwrap());
    let tasks: Vec<_> = (0..3).map(|_| pool.submit(wait_for, go.clone())).collect();
    let (mut look, until) = (Look::default(), Instant::now() + LIMIT);
    let view = loop {
        let view = seen(&mut look, &wait_for);
        let works = |view: &PoolView| view.workers.iter().filter(|worker| worker.shown.now.is_working()).count();
        match view.filter(|view| works(view) == 2) {
            Some(view) => break view,
            None => assert!(Instant::now() < until),
        }
    };
    let mut ids: Vec<u32> = view.workers.iter().map(|worker| worker.pid).collect();
    let mut own = pool.process_ids();
    ids.sort_unstable();
    own.sort_unstable();
    assert_eq!(ids, own);
    let job = &view.board.jobs[0];
    assert_eq!((job.total, job.done, job.method.as_str(), view.board.workers), (Some(3), 0, "submit", 2));
    go.set();
    tasks.into_iter().for_each(|task| task.wait().unwrap());
    let view = seen(&mut look, &wait_for).unwrap();
    assert_eq!((view.board.jobs[0].done, view.board.jobs[0].ended.is_some()), (3, true));
    drop(pool);
    assert!(seen(&mut look, &wait_for).is_none());
}

#[test]
fn a_pool_shows_what_has_failed() {
    let pool = Pool::builder().workers(2).start_method(METHOD).build().unwrap();
    assert_eq!(pool.map_each(even, 0..10).filter(Result::is_err).count(), 5);
    let view = seen(&mut Look::default(), &even).unwrap();
    assert_eq!((view.board.jobs[0].done, view.board.jobs[0].failed), (5, 5));
    assert_eq!(pool.imap(even, (0..6).map(|x| 2 * x)).count(), 6);
    let view = seen(&mut Look::default(), &even).unwrap();
    let last = view.board.jobs.last().unwrap();
    assert_eq!((last.method.as_str(), last.total, last.done), ("imap", Some(6), 6));
}
