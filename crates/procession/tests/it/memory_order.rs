//! What a word orders beside itself: a side that has rung, or has seen that it need not, is seen by the one that was rung.
//!
//! One side writes a number and rings, twice in a row; the other waits to be rung, takes that back, and answers with the
//! number it sees. Nothing but the bell orders the number. A ring is lost when the answer is an old number and nothing
//! rings any more.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

use procession::channel::{Attempt, Queue};
use procession::shared_memory::Segment;
use procession::sync::{Cell, Semaphore};
use procession::{Event, Process};

/// How often the other side finds nothing before it asks whether a ring was lost.
const LOOKS: u32 = 20_000;
/// How long a short trial goes on, where a processor is shared with much else.
const SHORT: Duration = Duration::from_secs(2);
const END: u64 = u64::MAX;

/// Something that is rung, and was.
trait Bell {
    fn ring(&self);
    /// Whether it was rung, or is after a moment; takes that back.
    fn was_rung(&self) -> bool;
}

struct Set(Event);

impl Bell for Set {
    fn ring(&self) {
        self.0.set();
    }

    fn was_rung(&self) -> bool {
        let rung = self.0.is_set();
        if rung {
            self.0.clear();
        }
        rung
    }
}

/// The other side sleeps, and this one looks first.
struct Waited(Event);

impl Bell for Waited {
    fn ring(&self) {
        if !self.0.is_set() {
            self.0.set();
        }
    }

    fn was_rung(&self) -> bool {
        let rung = self.0.wait_timeout(Duration::from_millis(1));
        if rung {
            self.0.clear();
        }
        rung
    }
}

struct Bounded(Semaphore);

impl Bell for Bounded {
    fn ring(&self) {
        let _ = self.0.release();
    }

    fn was_rung(&self) -> bool {
        self.0.try_acquire()
    }
}

struct Put(Queue);

impl Bell for Put {
    fn ring(&self) {
        if self.0.is_empty() {
            while !matches!(self.0.try_put(b"", b"ring"), Ok(Attempt::Done(()))) {}
        }
    }

    fn was_rung(&self) -> bool {
        match self.0.try_oldest().unwrap() {
            Attempt::Done(oldest) => {
                oldest.take();
                true
            }
            _ => false,
        }
    }
}

/// Each on a cache line of its own: the number, the number of the last ring, the answer, how many rings were lost.
struct Numbers(Arc<Segment>);

impl Numbers {
    fn new() -> Numbers {
        Numbers(Arc::new(Segment::create("memory-order", 4096, true).unwrap()))
    }

    fn at(&self, line: usize) -> &AtomicU64 {
        self.0.word64(line * 256)
    }
}

/// Rings so many times, or as long as it may; says how often, and how many rings were lost.
fn ring(bell: &dyn Bell, numbers: &Numbers, rounds: u64, until: Option<Instant>) -> (u64, u64) {
    let [number, rung, answer] = [0, 1, 2].map(|line| numbers.at(line));
    let mut done = 0;
    while done < rounds && until.is_none_or(|until| done % 1024 != 0 || Instant::now() < until) {
        done += 1;
        number.store(2 * done - 1, Relaxed);
        bell.ring();
        number.store(2 * done, Relaxed);
        bell.ring();
        rung.store(2 * done, Release);
        let mut looks = 0;
        while answer.load(Acquire) != 2 * done {
            looks += 1;
            if looks > LOOKS { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
    number.store(END, Relaxed);
    bell.ring();
    rung.store(END, Release);
    (done, numbers.at(3).load(Relaxed))
}

/// Answers until the end.
fn answer(bell: &dyn Bell, numbers: &Numbers) {
    let [number, rung, answer, lost] = [0, 1, 2, 3].map(|line| numbers.at(line));
    let (mut seen, mut looks) = (0, 0);
    while seen != END {
        if !bell.was_rung() {
            looks += 1;
            if looks < LOOKS {
                std::hint::spin_loop();
                continue;
            }
            looks = 0;
            std::thread::yield_now();
            // Not before the other side has rung: it may have been stopped between number and ring.
            let last = rung.load(Acquire);
            if last <= seen {
                continue;
            }
            if !bell.was_rung() {
                lost.fetch_add(1, Relaxed);
                seen = last;
                answer.store(seen, Release);
                continue;
            }
        }
        looks = 0;
        seen = number.load(Relaxed);
        answer.store(seen, Release);
    }
}

fn between_threads(bell: &(dyn Bell + Sync), rounds: u64, until: Option<Instant>) -> (u64, u64) {
    let numbers = Numbers::new();
    std::thread::scope(|scope| {
        scope.spawn(|| answer(bell, &numbers));
        ring(bell, &numbers, rounds, until)
    })
}

fn answer_from_afar((event, path, waits): (Event, String, bool)) {
    let numbers =
        Numbers(Arc::new(Segment::open(File::options().read(true).write(true).open(path).unwrap().into()).unwrap()));
    if waits { answer(&Waited(event), &numbers) } else { answer(&Set(event), &numbers) }
}

fn between_processes(waits: bool, rounds: u64, until: Option<Instant>) -> (u64, u64) {
    use std::os::fd::{AsFd, AsRawFd};
    let (event, numbers) = (Event::new().unwrap(), Numbers::new());
    let path = format!("/proc/{}/fd/{}", std::process::id(), numbers.0.as_fd().as_raw_fd());
    let other = Process::spawn(answer_from_afar, (event.clone(), path, waits)).unwrap();
    let bell: Box<dyn Bell> = if waits { Box::new(Waited(event)) } else { Box::new(Set(event)) };
    let outcome = ring(&*bell, &numbers, rounds, until);
    other.join().unwrap();
    outcome
}

/// Rings so many times; returns how many rounds there were, and how many rings were lost.
type Trial<'a> = &'a dyn Fn() -> (u64, u64);

/// Tries all of them; says how it went.
fn try_all(rounds: u64, limit: Option<Duration>) {
    let until = || limit.map(|limit| Instant::now() + limit);
    let event = || Event::new().unwrap();
    let bounded = Bounded(Semaphore::create(Cell::create(Semaphore::BYTES).unwrap(), 0, 1).unwrap());
    let queue = Put(Queue::create(u32::MAX).unwrap());
    let trials: [(&str, Trial); 6] = [
        ("an event, two threads", &|| between_threads(&Set(event()), rounds, until())),
        ("an event, two processes", &|| between_processes(false, rounds, until())),
        ("an event that is waited for, two threads", &|| between_threads(&Waited(event()), rounds, until())),
        ("an event that is waited for, two processes", &|| between_processes(true, rounds, until())),
        ("a semaphore of one permit, two threads", &|| between_threads(&bounded, rounds, until())),
        ("a queue, two threads", &|| between_threads(&queue, rounds, until())),
    ];
    for (name, trial) in trials {
        let (done, lost) = trial();
        println!("memory order: {name}: {done} rounds, {lost} lost");
        assert!(done > 0 && lost == 0, "{name}: {done} rounds, {lost} lost");
    }
}

#[test]
fn what_is_written_before_a_ring_is_seen_by_whoever_was_rung() {
    try_all(200_000, Some(SHORT));
}

/// The same for long: `PROCESSION_ROUNDS` of each, or five million.
#[test]
#[ignore = "takes minutes: scripts/campaign runs it"]
fn no_ring_is_lost_in_millions() {
    let rounds = std::env::var("PROCESSION_ROUNDS").map_or(5_000_000, |rounds| rounds.parse().unwrap());
    try_all(rounds, None);
}
