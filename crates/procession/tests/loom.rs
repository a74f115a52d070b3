//! The protocols of the words in a model that tries every order of their steps, up to a bound.
//!
//! Beside the words lies a *datum* that they have to order: a [`Datum`], which the model finds out when it is read and written
//! at once, or a plain number, of which it gives old values as long as nothing orders it. `scripts/loom` runs them, in a
//! build of its own.
#![cfg(loom)]

use std::cell::Cell;

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use procession::channel::words::{bells, claims, flow, sleeps};
use procession::primitive::{AtomicU32, AtomicU64, fence};
use procession::sync::Acquired;
use procession::sync::words::{event, lock, permits, place, readers, rlock};

/// What nothing but the words keeps from being read and written at once.
struct Datum {
    accesses: UnsafeCell<()>,
    value: Cell<u64>,
}

impl Datum {
    fn new() -> Datum {
        Datum { accesses: UnsafeCell::new(()), value: Cell::new(0) }
    }

    fn write(&self, value: u64) {
        self.accesses.with_mut(|_| self.value.set(value));
    }

    fn read(&self) -> u64 {
        self.accesses.with(|_| self.value.get())
    }
}

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
        let shared = Arc::new((AtomicU64::new(0), Datum::new()));
        let other = shared.clone();
        let hold = |shared: &(AtomicU64, Datum), me| {
            acquire(&shared.0, me);
            shared.1.write(shared.1.read() + 1);
            lock::release(&shared.0).unwrap();
        };
        let thread = thread::spawn(move || hold(&other, 2));
        hold(&shared, 1);
        thread.join().unwrap();
        assert_eq!((lock::owner(&shared.0), shared.1.read()), (None, 2));
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
        let shared = Arc::new((AtomicU64::new(0), Datum::new()));
        let waiters: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    permits::acquire_slow(&shared.0, None).unwrap();
                    assert_eq!(shared.1.read(), 7);
                })
            })
            .collect();
        shared.1.write(7);
        permits::release(&shared.0, 1, 10).unwrap();
        permits::release(&shared.0, 1, 10).unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(permits::left(&shared.0), 0);
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

#[test]
fn whoever_clears_an_event_sees_what_was_written_before_every_set_of_it() {
    check(|| {
        let shared = Arc::new((AtomicU64::new(0), AtomicUsize::new(1)));
        event::set(&shared.0);
        let other = shared.clone();
        let setter = thread::spawn(move || {
            other.1.store(2, Ordering::Relaxed);
            event::set(&other.0);
        });
        event::clear(&shared.0);
        let seen = shared.1.load(Ordering::Relaxed);
        setter.join().unwrap();
        assert!(seen == 2 || event::is_set(&shared.0), "a set was lost: {seen}");
    });
}

#[test]
fn whoever_waits_for_an_event_sees_what_was_written_before_it() {
    check(|| {
        let shared = Arc::new((AtomicU64::new(0), Datum::new()));
        let other = shared.clone();
        let setter = thread::spawn(move || {
            other.1.write(7);
            event::set(&other.0);
        });
        event::wait(&shared.0, event::mark(&shared.0), None).unwrap();
        assert_eq!(shared.1.read(), 7);
        setter.join().unwrap();
    });
}

#[test]
fn whoever_finds_an_event_set_and_leaves_it_is_seen_by_whoever_clears_it() {
    check(|| {
        let shared = Arc::new((AtomicU64::new(0), AtomicUsize::new(0)));
        event::set(&shared.0);
        let other = shared.clone();
        // One goes through a gate and says so; the other closes it and looks who went through.
        let inside = thread::spawn(move || {
            other.1.store(1, Ordering::Relaxed);
            event::is_set(&other.0)
        });
        event::clear(&shared.0);
        let seen = shared.1.load(Ordering::Relaxed) == 1;
        assert!(!inside.join().unwrap() || seen, "somebody went through unseen");
    });
}

#[test]
fn a_release_that_is_refused_is_seen_by_whoever_takes_the_permit() {
    check(|| {
        let shared = Arc::new((AtomicU64::new(1), AtomicUsize::new(0)));
        let other = shared.clone();
        let giver = thread::spawn(move || {
            other.1.store(1, Ordering::Relaxed);
            permits::release(&other.0, 1, 1).is_ok()
        });
        assert!(permits::try_acquire(&shared.0));
        let seen = shared.1.load(Ordering::Relaxed) == 1;
        assert!(giver.join().unwrap() || seen);
    });
}

#[test]
fn an_acquire_that_is_refused_is_seen_by_whoever_releases() {
    check(|| {
        let shared = Arc::new((AtomicU64::new(0), AtomicUsize::new(0), AtomicU64::new(1)));
        let other = shared.clone();
        let refused = thread::spawn(move || {
            other.1.store(1, Ordering::Relaxed);
            (permits::try_acquire(&other.0), lock::try_acquire(&other.2, 2))
        });
        permits::release(&shared.0, 1, 1).unwrap();
        let by_permits = shared.1.load(Ordering::Relaxed) == 1;
        lock::release(&shared.2).unwrap();
        let by_lock = shared.1.load(Ordering::Relaxed) == 1;
        let (permit, locked) = refused.join().unwrap();
        assert!((permit || by_permits) && (locked || by_lock));
    });
}

struct Again {
    owner: AtomicU64,
    thread: AtomicU64,
    depth: AtomicU32,
    datum: Datum,
}

impl rlock::Words for Again {
    fn owner(&self) -> &AtomicU64 {
        &self.owner
    }
    fn thread(&self) -> &AtomicU64 {
        &self.thread
    }
    fn depth(&self) -> &AtomicU32 {
        &self.depth
    }
}

#[test]
fn a_lock_that_is_taken_again_is_its_owners_until_it_is_given_back_as_often() {
    // Two threads of one process, then two processes whose threads have the same number.
    for (me, thread) in [((1, 1), (1, 2)), ((1, 1), (2, 1))] {
        check(move || {
            let words = Again {
                owner: AtomicU64::new(0),
                thread: AtomicU64::new(0),
                depth: AtomicU32::new(0),
                datum: Datum::new(),
            };
            let shared = Arc::new(words);
            let other = shared.clone();
            let hold = |words: &Again, (me, thread)| {
                if !rlock::try_acquire(words, me, thread) {
                    lock::acquire_slow(&words.owner, me, None, |_| true).unwrap();
                    rlock::begin(words, thread);
                }
                assert!(rlock::try_acquire(words, me, thread));
                assert_eq!(rlock::depth(words), 2);
                words.datum.write(words.datum.read() + 1);
                rlock::release(words, me, thread).unwrap();
                assert!(rlock::is_of(words, me, thread));
                rlock::release(words, me, thread).unwrap();
                assert!(!rlock::is_of(words, me, thread));
            };
            let second = thread::spawn(move || hold(&other, thread));
            hold(&shared, me);
            second.join().unwrap();
            assert_eq!((lock::owner(&shared.owner), shared.datum.read()), (None, 2));
        });
    }
}

/// A list of one place, and the lock that goes with it.
struct List {
    lock: AtomicU64,
    state: AtomicU32,
    who: AtomicUsize,
    datum: Datum,
}

impl List {
    fn new() -> List {
        List {
            lock: AtomicU64::new(0),
            state: AtomicU32::new(place::FREE),
            who: AtomicUsize::new(0),
            datum: Datum::new(),
        }
    }

    /// Enters, as whoever holds the lock, and releases it.
    fn enter(&self, me: usize) {
        assert_eq!(place::state(&self.state), place::FREE);
        self.who.store(me, Ordering::Relaxed);
        place::enter(&self.state);
        lock::release(&self.lock).unwrap();
    }
}

#[test]
fn whoever_is_woken_sees_what_its_waker_wrote_and_is_seen_by_the_next_that_waits() {
    check(|| {
        let list = Arc::new(List::new());
        let other = list.clone();
        acquire(&list.lock, 1);
        list.enter(1);
        let waker = thread::spawn(move || {
            acquire(&other.lock, 2);
            if place::state(&other.state) == place::WAITING {
                assert_eq!(other.who.load(Ordering::Relaxed), 1);
                other.datum.write(7);
                assert!(place::tell(&other.state, 5));
                procession::primitive::wake(&other.state, 1);
            }
            lock::release(&other.lock).unwrap();
            // The one that was woken has read what it was told to, when its place is free.
            if place::state(&other.state) == place::FREE {
                other.datum.write(8);
            }
        });
        assert_eq!(place::wait_while(&list.state, place::WAITING, None).unwrap(), 5);
        assert_eq!(list.datum.read(), 7);
        place::free(&list.state);
        waker.join().unwrap();
    });
}

#[test]
fn a_message_at_the_last_moment_is_had_by_whoever_leaves() {
    check(|| {
        let list = Arc::new(List::new());
        let other = list.clone();
        acquire(&list.lock, 1);
        list.enter(1);
        let waker = thread::spawn(move || {
            other.datum.write(7);
            place::tell(&other.state, 5)
        });
        let message = place::leave(&list.state);
        if message == Some(5) {
            assert_eq!(list.datum.read(), 7);
        }
        assert_eq!(waker.join().unwrap(), message.is_some());
    });
}

#[test]
fn parties_that_meet_see_what_each_other_wrote() {
    // A barrier: who comes counts those before it under the lock, and waits, or tells all.
    check(|| {
        let list = Arc::new(List::new());
        let other = list.clone();
        let theirs = Arc::new([Datum::new(), Datum::new()]);
        let both = theirs.clone();
        let meet = |list: &List, written: &[Datum; 2], me: usize| {
            written[me].write(1);
            acquire(&list.lock, me as u64 + 1);
            if place::state(&list.state) == place::WAITING {
                assert!(place::tell(&list.state, 5));
                lock::release(&list.lock).unwrap();
                procession::primitive::wake(&list.state, 1);
            } else {
                list.enter(me);
                assert_eq!(place::wait_while(&list.state, place::WAITING, None).unwrap(), 5);
            }
            assert_eq!(written[1 - me].read(), 1);
        };
        let second = thread::spawn(move || meet(&other, &both, 1));
        meet(&list, &theirs, 0);
        second.join().unwrap();
    });
}

struct Shelf {
    lock: AtomicU64,
    places: [AtomicU64; 1],
    left: AtomicU32,
    sleepers: AtomicU32,
    datum: Datum,
}

impl readers::Readers for Shelf {
    fn places(&self) -> usize {
        self.places.len()
    }
    fn place(&self, place: usize) -> &AtomicU64 {
        &self.places[place]
    }
    fn left(&self) -> &AtomicU32 {
        &self.left
    }
    fn sleepers(&self) -> &AtomicU32 {
        &self.sleepers
    }
}

fn wait_for_all(shelf: &Shelf) {
    while readers::wait_for(shelf, None, 1, |_| true).is_err() {}
}

#[test]
fn a_writer_is_alone_with_what_readers_look_at() {
    check(|| {
        let shelf = Arc::new(Shelf {
            lock: AtomicU64::new(0),
            places: [AtomicU64::new(0)],
            left: AtomicU32::new(0),
            sleepers: AtomicU32::new(0),
            datum: Datum::new(),
        });
        let read = |shelf: &Shelf, me: u64| {
            acquire(&shelf.lock, me);
            let place = loop {
                match readers::free(shelf) {
                    Some(place) => break place,
                    None => wait_for_all(shelf),
                }
            };
            readers::sit(shelf, place, me);
            lock::release(&shelf.lock).unwrap();
            shelf.datum.read();
            readers::leave(shelf, place);
        };
        // Two readers, one after the other on the one place: the writer must be alone with both.
        let threads = [1, 2].map(|me| {
            let shelf = shelf.clone();
            thread::spawn(move || read(&shelf, me))
        });
        acquire(&shelf.lock, 3);
        wait_for_all(&shelf);
        shelf.datum.write(1);
        lock::release(&shelf.lock).unwrap();
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

/// The slots of a pool: two, and what lies in them.
struct Pool {
    head: AtomicU64,
    tail: AtomicU64,
    slots: [AtomicU64; 2],
    records: [Datum; 2],
}

impl Pool {
    fn new() -> Pool {
        Pool {
            head: AtomicU64::new(0),
            tail: AtomicU64::new(0),
            slots: [AtomicU64::new(0), AtomicU64::new(0)],
            records: [Datum::new(), Datum::new()],
        }
    }

    fn slot(&self, ticket: u64) -> &AtomicU64 {
        &self.slots[ticket as usize % 2]
    }

    fn publish(&self) -> Option<u64> {
        let ticket = claims::free_for(&self.tail, 2, |ticket| self.slot(ticket))?;
        self.records[ticket as usize % 2].write(ticket + 1);
        claims::publish(&self.tail, self.slot(ticket), ticket);
        Some(ticket)
    }

    fn claim(&self, worker: usize) -> Option<u64> {
        let ticket = claims::claim(&self.head, &self.tail, 2, |ticket| self.slot(ticket), worker)?;
        assert_eq!(self.records[ticket as usize % 2].read(), ticket + 1);
        claims::free(self.slot(ticket), ticket);
        Some(ticket)
    }
}

#[test]
fn a_record_is_claimed_once_by_one_that_sees_all_of_it_and_written_over_when_it_was_read() {
    check(|| {
        let pool = Arc::new(Pool::new());
        let workers = [0, 1].map(|worker| {
            let pool = pool.clone();
            thread::spawn(move || pool.claim(worker))
        });
        // One more than there are slots, should one come free.
        let published = (0..3).filter_map(|_| pool.publish()).count();
        let mut claimed: Vec<u64> = workers.into_iter().filter_map(|worker| worker.join().unwrap()).collect();
        while let Some(ticket) = pool.claim(2) {
            claimed.push(ticket);
        }
        claimed.sort_unstable();
        claimed.dedup();
        assert_eq!(claimed.len(), published);
    });
}

#[test]
fn a_record_is_revoked_or_claimed_and_never_both() {
    check(|| {
        let pool = Arc::new(Pool::new());
        let ticket = pool.publish().unwrap();
        let other = pool.clone();
        let worker = thread::spawn(move || other.claim(0));
        let revoked = claims::revoke(pool.slot(ticket), ticket);
        assert!(revoked ^ worker.join().unwrap().is_some());
        // The slot may be written again.
        assert!(pool.publish().is_some());
    });
}

#[test]
fn a_worker_that_goes_to_sleep_finds_what_is_published_or_is_woken() {
    check(|| {
        let shared = Arc::new((Pool::new(), AtomicU32::new(0), AtomicU64::new(0)));
        let other = shared.clone();
        let worker = thread::spawn(move || {
            let (pool, bell, bits) = &*other;
            loop {
                if let Some(ticket) = pool.claim(0) {
                    return ticket;
                }
                bells::sleep(bell, bits, 1, None, || claims::is_ready(&pool.head, &pool.tail)).unwrap();
            }
        });
        let (pool, bell, bits) = &*shared;
        pool.publish().unwrap();
        fence(Ordering::SeqCst);
        if bells::take_one(bits).is_some() {
            bells::ring(bell);
        }
        assert_eq!(worker.join().unwrap(), 0);
    });
}

#[test]
fn a_parent_that_goes_to_sleep_finds_a_result_or_is_woken_and_sees_all_of_it() {
    check(|| {
        // The result, how far the ring is written, whether the parent sleeps, and its doorbell.
        let shared = Arc::new((Datum::new(), AtomicU64::new(0), AtomicU32::new(0), AtomicU32::new(0)));
        let other = shared.clone();
        let worker = thread::spawn(move || {
            let (result, tail, asleep, bell) = &*other;
            result.write(7);
            flow::publish(tail, 1);
            if bells::take_wake(asleep) {
                bells::ring(bell);
            }
        });
        let (result, tail, asleep, bell) = &*shared;
        while flow::published(tail) == 0 {
            bells::about_to_sleep(asleep);
            if flow::published(tail) == 0 {
                procession::primitive::wait(bell, 0, None).unwrap();
            }
            bells::awake(asleep);
        }
        assert_eq!(result.read(), 7);
        worker.join().unwrap();
    });
}

#[test]
fn a_full_ring_is_written_over_only_where_it_was_read_and_its_writer_does_not_sleep_for_ever() {
    check(|| {
        // A ring of one piece: what is in it, how far it is written and read, whether the writer waits, and on what.
        type Ring = (Datum, AtomicU64, AtomicU64, AtomicU32, AtomicU32);
        let new = || AtomicU64::new(0);
        let shared: Arc<Ring> = Arc::new((Datum::new(), new(), new(), AtomicU32::new(0), AtomicU32::new(0)));
        let other = shared.clone();
        let writer = thread::spawn(move || {
            let (piece, tail, head, waits, space) = &*other;
            for number in 1..=2 {
                while flow::freed(head) + 1 < number {
                    let fits = || flow::freed(head) + 1 >= number;
                    flow::wait_for_space(waits, space, None, fits, || Ok(())).unwrap();
                }
                piece.write(number);
                flow::publish(tail, number);
            }
        });
        let (piece, tail, head, waits, space) = &*shared;
        let first = loop {
            match flow::published(tail) {
                0 => thread::yield_now(),
                tail => break tail,
            }
        };
        assert_eq!((first, piece.read()), (1, 1));
        flow::free(head, waits, space, 1);
        writer.join().unwrap();
        assert_eq!((flow::published(tail), piece.read()), (2, 2));
    });
}

#[test]
fn a_lent_block_is_used_again_when_it_was_read() {
    check(|| {
        let shared = Arc::new((Datum::new(), AtomicU64::new(0), AtomicU64::new(0)));
        let (block, lent, tail) = &*shared;
        flow::lend(lent);
        block.write(1);
        flow::publish(tail, 1);
        let other = shared.clone();
        let reader = thread::spawn(move || {
            let (block, lent, tail) = &*other;
            if flow::published(tail) == 1 {
                assert_eq!(block.read(), 1);
                flow::give_back(lent, false);
            }
        });
        if flow::loan(lent) != flow::Loan::Lent {
            block.write(2);
        }
        reader.join().unwrap();
    });
}

/// A queue with room for one message, which lies beside the words.
struct Mailbox {
    message: Datum,
    count: AtomicU64,
    puts: AtomicU32,
    getters: AtomicU32,
    gets: AtomicU32,
    putters: AtomicU32,
}

impl Mailbox {
    fn new() -> Mailbox {
        let words = || AtomicU32::new(0);
        let (puts, getters, gets, putters) = (words(), words(), words(), words());
        Mailbox { message: Datum::new(), count: AtomicU64::new(0), puts, getters, gets, putters }
    }

    fn wait(&self, count: u64, word: &AtomicU32, sleepers: &AtomicU32) {
        let ready = || self.count.load(Ordering::Acquire) == count;
        while !ready() {
            sleeps::sleep(word, sleepers, ready, |seen| procession::primitive::wait(word, seen, None)).unwrap();
        }
    }

    fn put(&self, message: u64) {
        self.wait(0, &self.gets, &self.putters);
        self.message.write(message);
        self.count.fetch_add(1, Ordering::AcqRel);
        if sleeps::changed(&self.puts, &self.getters) {
            procession::primitive::wake(&self.puts, 1);
        }
    }

    fn get(&self) -> u64 {
        self.wait(1, &self.puts, &self.getters);
        let message = self.message.read();
        self.count.fetch_sub(1, Ordering::AcqRel);
        if sleeps::changed(&self.gets, &self.putters) {
            procession::primitive::wake(&self.gets, 1);
        }
        message
    }
}

#[test]
fn whoever_waits_for_a_message_or_for_room_finds_it_or_is_woken_and_sees_all_of_it() {
    check(|| {
        let mailbox = Arc::new(Mailbox::new());
        let other = mailbox.clone();
        let getter = thread::spawn(move || [other.get(), other.get()]);
        mailbox.put(7);
        mailbox.put(8);
        assert_eq!(getter.join().unwrap(), [7, 8]);
    });
}

#[test]
fn whoever_only_watches_takes_no_wake_up_from_a_getter() {
    check(|| {
        let mailbox = Arc::new((Mailbox::new(), AtomicU32::new(0)));
        let (getters, watchers) = (mailbox.clone(), mailbox.clone());
        let getter = thread::spawn(move || getters.0.get());
        let watcher = thread::spawn(move || {
            let (mailbox, watchers) = &*watchers;
            let ready = || mailbox.count.load(Ordering::Acquire) > 0;
            let nap = |seen| procession::primitive::wait(&mailbox.puts, seen, None);
            sleeps::watch(&mailbox.puts, &mailbox.getters, watchers, ready, nap).unwrap();
        });
        let (mailbox, watchers) = &*mailbox;
        mailbox.message.write(7);
        mailbox.count.fetch_add(1, Ordering::AcqRel);
        if sleeps::changed(&mailbox.puts, &mailbox.getters) {
            procession::primitive::wake(&mailbox.puts, sleeps::enough(watchers));
        }
        assert_eq!(getter.join().unwrap(), 7);
        // A watcher that came late sleeps until it is told to end.
        mailbox.count.fetch_add(1, Ordering::AcqRel);
        mailbox.puts.fetch_add(1, Ordering::SeqCst);
        procession::primitive::wake(&mailbox.puts, u32::MAX);
        watcher.join().unwrap();
    });
}

#[test]
fn a_watcher_sees_that_the_last_message_was_taken() {
    check(|| {
        let words = Arc::new((AtomicU64::new(1), [0, 0].map(AtomicU32::new)));
        let other = words.clone();
        let watcher = thread::spawn(move || {
            let (count, [emptied, watchers]) = &*other;
            let ready = || count.load(Ordering::Acquire) == 0;
            while !ready() {
                let nap = |seen| procession::primitive::wait(emptied, seen, None);
                sleeps::sleep(emptied, watchers, ready, nap).unwrap();
            }
        });
        let (count, [emptied, watchers]) = &*words;
        count.fetch_sub(1, Ordering::AcqRel);
        fence(Ordering::SeqCst);
        if sleeps::changed_for(emptied, watchers) {
            procession::primitive::wake(emptied, u32::MAX);
        }
        watcher.join().unwrap();
    });
}
