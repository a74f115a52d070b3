//! The protocols of the words in a model that tries every order of their steps, up to a bound.
//!
//! `scripts/loom` runs them, in a build of its own.
#![cfg(loom)]

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use procession::primitive::AtomicU64;
use procession::sync::Acquired;
use procession::sync::words::{event, lock, permits};

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn acquire(word: &AtomicU64, me: u64) {
    if !lock::try_acquire(word, me) {
        assert_eq!(lock::acquire_slow(word, me, None, |_| true).unwrap(), Acquired::Free);
    }
}

#[test]
fn two_never_hold_the_lock_together_and_no_wake_up_is_lost() {
    check(|| {
        let shared = Arc::new((AtomicU64::new(0), AtomicUsize::new(0)));
        let other = shared.clone();
        let hold = |shared: &(AtomicU64, AtomicUsize), me| {
            acquire(&shared.0, me);
            assert_eq!(shared.1.fetch_add(1, Ordering::Relaxed), 0);
            shared.1.fetch_sub(1, Ordering::Relaxed);
            lock::release(&shared.0).unwrap();
        };
        let thread = thread::spawn(move || hold(&other, 2));
        hold(&shared, 1);
        thread.join().unwrap();
        assert_eq!(lock::owner(&shared.0), None);
    });
}

#[test]
fn of_three_that_want_the_lock_none_sleeps_for_ever() {
    check(|| {
        let word = Arc::new(AtomicU64::new(0));
        let hold = |word: &AtomicU64, me| {
            acquire(word, me);
            lock::release(word).unwrap();
        };
        let threads = [2, 3].map(|me| {
            let word = word.clone();
            thread::spawn(move || hold(&word, me))
        });
        hold(&word, 1);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(lock::owner(&word), None);
    });
}

#[test]
fn one_heir_alone_takes_the_lock_of_a_dead_owner() {
    check(|| {
        let word = Arc::new(AtomicU64::new(9));
        let other = word.clone();
        let inherit = |word: &AtomicU64, me| {
            let heir = lock::take_from_dead(word, me, |owner| owner != 9).is_some();
            if heir {
                lock::release(word).unwrap();
            }
            heir
        };
        let thread = thread::spawn(move || inherit(&other, 2));
        let first = inherit(&word, 1);
        assert!(first ^ thread.join().unwrap());
    });
}

#[test]
fn every_permit_that_is_released_serves_a_waiter() {
    check(|| {
        let word = Arc::new(AtomicU64::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let word = word.clone();
                thread::spawn(move || permits::acquire_slow(&word, None).unwrap())
            })
            .collect();
        permits::release(&word, 1, 10).unwrap();
        permits::release(&word, 1, 10).unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(permits::left(&word), 0);
    });
}

#[test]
fn every_waiter_sees_an_event_that_is_set_and_cleared_at_once() {
    check(|| {
        let word = Arc::new(AtomicU64::new(0));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let word = word.clone();
                let mark = event::mark(&word);
                thread::spawn(move || event::wait(&word, mark, None).unwrap())
            })
            .collect();
        event::set(&word);
        event::clear(&word);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(!event::is_set(&word));
    });
}

#[test]
fn an_event_set_twice_wakes_who_waits_for_the_second_time() {
    check(|| {
        let word = Arc::new(AtomicU64::new(0));
        let other = word.clone();
        let first = event::mark(&word);
        let thread = thread::spawn(move || {
            event::wait(&other, first, None).unwrap();
            event::clear(&other);
            event::set(&other);
        });
        event::set(&word);
        thread.join().unwrap();
        event::wait(&word, event::mark(&word), None).unwrap();
    });
}
