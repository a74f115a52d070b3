//! Both ends of a ring in one process.

use std::sync::atomic::Ordering::SeqCst;

use super::*;

fn pair() -> (Producer, Consumer) {
    let consumer = Consumer::create(1 << 30).unwrap();
    (Producer::open(consumer.descriptor().unwrap()).unwrap(), consumer)
}

fn never() -> Result<()> {
    panic!("the ring has room")
}

#[test]
fn rings_blocks_and_views_work_on_pages_of_64_kib() {
    use crate::shared_memory::View;
    platform::FAKED_PAGE.set(64 << 10);
    let (mut p, mut c) = pair();
    let payload = vec![7u8; 100_000];
    for _ in 0..10 {
        p.write(FrameKind::Returned, 1, 0, b"small", &mut never).unwrap();
        p.write(FrameKind::Returned, 1, 0, &payload, &mut never).unwrap();
        p.publish();
        let mut bytes = Vec::new();
        assert!(c.drain(&mut bytes));
        let (_, small, rest) = Frame::decode(&bytes).unwrap();
        let (frame, place, _) = Frame::decode(rest).unwrap();
        let mut out = Vec::new();
        assert!(frame.large && c.collect(place, &mut out));
        assert_eq!((small, out == payload), (&b"small"[..], true));
    }
    let offset = p.arena.allocate(5).unwrap().offset;
    assert!(offset.is_multiple_of(64 << 10));
    let view = View::lent(c.segment().clone(), offset, 5, Box::new(|| ())).unwrap();
    crate::shared_memory::detach_all().unwrap();
    drop(view);
    platform::FAKED_PAGE.set(0);
}

#[test]
fn frames_count_once_published() {
    let (mut p, mut c) = pair();
    p.write(FrameKind::Returned, 5, 1, b"one", &mut never).unwrap();
    assert!(!c.is_ready());
    p.publish();
    assert!(c.is_ready());
    let mut bytes = Vec::new();
    assert!(c.drain(&mut bytes));
    let (frame, payload, rest) = Frame::decode(&bytes).unwrap();
    assert_eq!((frame.kind, frame.ticket, frame.item, payload), (FrameKind::Returned, 5, 1, &b"one"[..]));
    assert!(rest.is_empty());
}

#[test]
fn large_payloads_go_through_blocks_that_come_back() {
    let (mut p, mut c) = pair();
    let payload = vec![7u8; 1 << 20];
    for _ in 0..50 {
        p.write(FrameKind::Returned, 1, 0, &payload, &mut never).unwrap();
        p.publish();
        let mut bytes = Vec::new();
        assert!(c.drain(&mut bytes));
        let (frame, place, _) = Frame::decode(&bytes).unwrap();
        assert!(frame.large);
        let mut out = Vec::new();
        assert!(c.collect(place, &mut out));
        assert_eq!(out, payload);
    }
    assert_eq!(p.lent.len(), 1);
}

#[test]
fn a_full_ring_waits_until_the_parent_has_read() {
    let (mut p, mut c) = pair();
    let payload = vec![1u8; 20_000];
    let total = 200;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..total {
                p.write(FrameKind::Returned, 1, 0, &payload, &mut || Ok(())).unwrap();
                p.publish();
            }
        });
        let mut bytes = Vec::new();
        while bytes.len() < total * (20_000 + FRAME_BYTES) {
            assert!(c.drain(&mut bytes));
            std::thread::yield_now();
        }
    });
}

#[test]
fn nonsense_in_the_words_is_noticed() {
    let (p, mut c) = pair();
    p.segment.word64(TAIL_AT).store(u64::MAX / 2, SeqCst);
    assert!(!c.drain(&mut Vec::new()));
    p.segment.word32(PHASE_AT).store(99, SeqCst);
    assert_eq!(c.ledger(), None);
    assert!(!c.collect(&[0xff; 16], &mut Vec::new()));
}

#[test]
fn what_the_parent_gives_back_to_an_idle_worker_has_no_memory_and_serves_again() {
    let (mut p, c) = pair();
    let size = 3 << 20;
    let first = p.lend_block(size).unwrap();
    p.trim();
    assert!(copy_in(c.segment().mapping(), first + 2 * platform::page_size(), b"x"));
    give_back(c.segment(), first, size);
    p.resume();
    assert_eq!(p.lend_block(size).unwrap(), first);
    let mut out = Vec::new();
    assert!(copy_out(p.segment.mapping(), first + 2 * platform::page_size(), 1, &mut out));
    assert_eq!(out, b"\0");
}

#[test]
fn a_block_far_from_the_beginning_comes_back_too() {
    let (mut p, c) = pair();
    let held = p.lend_block(100 << 20).unwrap();
    let (small, large) = (p.lend_block(7 << 20).unwrap(), p.lend_block(90 << 20).unwrap());
    for (offset, size) in [(small, 7 << 20), (large, 90 << 20)] {
        assert_eq!(p.lent.iter().filter(|lent| lent.block.offset == offset).count(), 1);
        give_back(c.segment(), offset, size);
        assert_eq!(p.lend_block(size).unwrap(), offset);
        give_back(c.segment(), offset, size);
    }
    give_back(c.segment(), held, 100 << 20);
    p.take_back(usize::MAX);
    assert_eq!(p.lent.len(), 0);
}

#[test]
fn many_results_that_are_held_do_not_keep_others_from_being_used_again() {
    let (mut p, c) = pair();
    let held: Vec<usize> = (0..200).map(|_| p.lend_block(100).unwrap()).collect();
    for _ in 0..500 {
        let offset = p.lend_block(100).unwrap();
        give_back(c.segment(), offset, 100);
    }
    assert_eq!(p.lent.len(), 201);
    held.iter().for_each(|offset| give_back(c.segment(), *offset, 100));
    for _ in 0..100 {
        let offset = p.lend_block(100).unwrap();
        give_back(c.segment(), offset, 100);
    }
    assert_eq!(p.lent.len(), 1);
}
