//! A histogram that all tasks add to, a log that they write to, and an event that ends a process that watches.

use std::time::Duration;

use procession::{Event, Pool, Process, Queue, SharedSlice};

type Place = (SharedSlice<u64>, Queue<String>);

fn throw_dice(((histogram, log), seed): (Place, u64)) {
    let mut dice = seed;
    for _ in 0..1000 {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        histogram.lock().unwrap()[(dice >> 33) as usize % 6] += 1;
    }
    log.put(format!("process {} threw 1000 dice", std::process::id())).unwrap();
}

fn watch((log, done): (Queue<String>, Event)) -> usize {
    let mut lines = 0;
    while !done.is_set() || !log.is_empty() {
        if let Some(line) = log.get_timeout(Duration::from_millis(10)).unwrap() {
            println!("{line}");
            lines += 1;
        }
    }
    lines
}

fn main() -> procession::Result<()> {
    let (histogram, log, done) = (SharedSlice::new(6)?, Queue::new()?, Event::new()?);
    let watcher = Process::spawn(watch, (log.clone(), done.clone()))?;
    Pool::new(2)?.map(throw_dice, (1..=6).map(|seed| ((histogram.clone(), log.clone()), seed)))?;
    done.set();
    println!("{} lines; {:?}", watcher.join()?, histogram.to_vec());
    Ok(())
}
