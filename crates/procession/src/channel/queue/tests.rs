//! Messages of all sizes, and what is left when a process dies.

use super::*;

fn get(queue: &Queue) -> Option<Vec<u8>> {
    let oldest = queue.oldest().unwrap()?;
    let mut message = vec![0; oldest.size()];
    oldest.copy(0, &mut message).unwrap();
    oldest.take();
    Some(message)
}

#[test]
fn messages_of_all_sizes_come_out_in_order() {
    let queue = Queue::create(u32::MAX).unwrap();
    let sizes = [0, 1, 7, 8, 9, CHUNK_BYTES - 8, CHUNK_BYTES, CHUNK_BYTES + 1, 1_000_000, 3];
    for round in 0..5u8 {
        for size in sizes {
            assert!(queue.put(&[round], &vec![round; size]).unwrap());
        }
        assert_eq!(queue.len(), sizes.len());
        for size in sizes {
            assert_eq!(get(&queue).unwrap(), vec![round; size + 1]);
        }
        assert!(get(&queue).is_none());
    }
    assert!(queue.word64(USED).load(Ordering::Relaxed) < 25, "chunks are used again");
}

/// Messages of 1 MB beyond what is mapped with a queue, told apart by their first bytes.
fn backlog(queue: &Queue) -> u64 {
    let many = (2 * memory::WINDOW_BYTES).div_ceil(1_000_000) as u64;
    for i in 0..many {
        assert!(queue.put(&i.to_ne_bytes(), &vec![i as u8; 1_000_000]).unwrap());
    }
    many
}

fn is_number(message: &[u8], i: u64) -> bool {
    message.len() == 1_000_008 && message[..8] == i.to_ne_bytes() && message[8..].iter().all(|&byte| byte == i as u8)
}

#[test]
fn a_backlog_beyond_what_is_mapped_comes_out_of_each_queue_that_has_its_file() {
    let queue = Queue::create(u32::MAX).unwrap();
    let other = Queue::open(queue.as_fd().try_clone_to_owned().unwrap()).unwrap();
    for _ in 0..2 {
        let many = backlog(&queue);
        for i in 0..many {
            assert!(is_number(&get(&other).unwrap(), i));
        }
        assert!(get(&other).is_none());
    }
}

#[test]
fn what_cannot_be_mapped_is_read_and_written_as_a_file() {
    let queue = Queue::create(u32::MAX).unwrap();
    let other = Queue::open(queue.as_fd().try_clone_to_owned().unwrap()).unwrap();
    for (putter, getter) in [(&queue, &other), (&other, &queue)] {
        let held = queue.memory.lack_windows();
        let many = backlog(putter);
        getter.lock().unwrap();
        getter.repair();
        getter.unlock();
        for i in 0..many {
            assert!(is_number(&get(getter).unwrap(), i));
        }
        drop(held);
    }
}

#[test]
fn a_full_queue_takes_no_more() {
    let queue = Queue::create(1).unwrap();
    assert!(queue.put(b"a", b"").unwrap());
    assert!(!queue.put(b"b", b"").unwrap());
    assert!(queue.is_full());
    let soon = Some(Instant::now());
    assert_eq!(queue.wait_for_room(soon).unwrap_err().kind(), ErrorKind::TimedOut);
    assert_eq!(get(&queue).unwrap(), b"a");
    assert_eq!(queue.wait_for_message(soon).unwrap_err().kind(), ErrorKind::TimedOut);
}

#[test]
fn what_a_dead_owner_left_half_done_is_put_in_order() {
    let queue = Queue::create(u32::MAX).unwrap();
    for i in 0..3u8 {
        queue.put(&[i], &vec![i; CHUNK_BYTES]).unwrap();
    }
    // A message half written, one chunk taken for it; another whose count is missing.
    let chunk = queue.take_chunk().unwrap();
    queue.word64(COUNTS).fetch_sub(ONE_DONE + 1, Ordering::Relaxed);
    queue.word64(LOCK).store(identity() ^ 1 << 32, Ordering::Relaxed);
    while queue.lock().is_err() {}
    queue.unlock();
    assert_eq!(queue.len(), 3);
    for i in 0..3u8 {
        assert_eq!(get(&queue).unwrap(), vec![i; CHUNK_BYTES + 1]);
        queue.report_done().unwrap();
    }
    assert!(queue.report_done().is_err());
    assert!((0..10).any(|_| queue.take_chunk().unwrap() == chunk), "the lost chunk is free again");
}

#[test]
fn records_that_fill_their_chunks_survive_a_repair() {
    let queue = Queue::create(u32::MAX).unwrap();
    let sizes = [2 * CHUNK_BYTES - 2 * RECORD_BYTES, CHUNK_BYTES, 3 * CHUNK_BYTES - RECORD_BYTES, 5];
    for size in sizes {
        queue.put(b"", &vec![size as u8; size]).unwrap();
    }
    queue.repair();
    for _ in 0..20 {
        let _ = queue.take_chunk().unwrap();
    }
    for size in sizes {
        assert_eq!(get(&queue).unwrap(), vec![size as u8; size]);
    }
}

#[test]
fn many_threads_lose_nothing() {
    let queue = Queue::create(100).unwrap();
    let sum = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for i in 0..2_000u64 {
                    while !matches!(queue.put(&i.to_ne_bytes(), b""), Ok(true)) {
                        let _ = queue.wait_for_room(None);
                    }
                }
            });
            scope.spawn(|| {
                let mut taken = 0;
                while taken < 2_000 {
                    if let Ok(Some(oldest)) = queue.oldest() {
                        let mut bytes = [0; 8];
                        oldest.copy(0, &mut bytes).unwrap();
                        oldest.take();
                        sum.fetch_add(u64::from_ne_bytes(bytes), Ordering::Relaxed);
                        taken += 1;
                    } else {
                        let _ = queue.wait_for_message(None);
                    }
                }
            });
        }
    });
    assert_eq!(sum.into_inner(), 3 * 1_999_000);
    assert!(queue.is_empty());
}

fn rings(bell: &Doorbell) -> bool {
    use crate::platform::{Readiness, wait_descriptors};
    use std::os::fd::AsRawFd;
    !wait_descriptors(&[(bell.as_raw_fd(), Readiness::Read)], Some(Instant::now()), None).unwrap().is_empty()
}

/// Two who have one queue and its bell.
fn shared_pair() -> [Queue; 2] {
    let bell = Doorbell::new().unwrap();
    let again = Doorbell::from_fd(bell.as_fd().try_clone_to_owned().unwrap());
    let queue = Queue::create(u32::MAX).unwrap();
    let file = queue.as_fd().try_clone_to_owned().unwrap();
    [queue.with_bell(bell), Queue::open(file).unwrap().with_bell(again)]
}

#[test]
fn a_shared_bell_is_silent_until_somebody_asks_and_rings_while_there_are_messages() {
    let [one, other] = shared_pair();
    one.put(b"a", b"").unwrap();
    assert!(!rings(one.bell.as_ref().unwrap()));
    let bell = other.listen().unwrap().unwrap();
    assert!(rings(bell));
    one.put(b"b", b"").unwrap();
    for queue in [&one, &other] {
        assert!(rings(bell));
        assert!(get(queue).is_some());
    }
    assert!(!rings(bell));
    one.put(b"c", &[0; 3 * CHUNK_BYTES]).unwrap();
    assert!(rings(bell) && get(&one).is_some() && !rings(bell));
    assert!(Queue::create(1).unwrap().listen().unwrap().is_none());
}

#[test]
fn a_bell_that_a_dead_owner_left_wrong_is_put_right() {
    let [one, other] = shared_pair();
    let bell = one.listen().unwrap().unwrap();
    let die = || other.word64(LOCK).store(identity() ^ 1 << 32, Ordering::Relaxed);
    // It rang for a message that did not come in: whoever waits for one puts that right before it sleeps.
    bell.ring();
    die();
    let soon = || Some(Instant::now());
    while one.wait_for_message(soon()).is_err_and(|error| error.kind() != ErrorKind::TimedOut) {}
    assert!(!rings(bell));
    // It took the last message out, and hushed nobody.
    other.put(b"a", b"").unwrap();
    let oldest = other.oldest().unwrap().unwrap();
    let end = other.place(TAIL).unwrap();
    other.word64(HEAD).store(end.word(), Ordering::Release);
    std::mem::forget(oldest);
    die();
    while one.lock().is_err() {}
    one.unlock();
    assert!(!rings(bell) && one.is_empty());
    one.put(b"b", b"").unwrap();
    assert!(rings(bell) && get(&other).is_some() && !rings(bell));
}

#[test]
fn a_queue_of_another_version_is_refused_in_words() {
    let queue = Queue::create_neutral(9).unwrap();
    let again = || Queue::open(queue.as_fd().try_clone_to_owned().unwrap());
    assert!(again().unwrap().is_neutral());
    assert!(!Queue::create(9).unwrap().is_neutral());
    for format in [0, u64::from(WIRE_VERSION + 1), u64::from(WIRE_VERSION) | 7 << 32] {
        queue.word64(FORMAT).store(format, Ordering::Relaxed);
        let error = again().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("version"), "{error}");
    }
}
