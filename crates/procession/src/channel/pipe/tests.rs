//! Messages of all sizes, what does not follow the protocol, and what is left when a process dies.

use super::*;
use crate::platform::{memory_file, note_pair};

const EPIPE: i32 = rustix::io::Errno::PIPE.raw_os_error();

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|i| (i ^ i >> 8 ^ size) as u8).collect()
}

fn received(pipe: &Pipe) -> (Vec<u8>, usize) {
    let message = pipe.receive(None).unwrap();
    (message.body.as_slice().to_vec(), message.files.len())
}

fn fault(pipe: &Pipe) -> ErrorKind {
    pipe.receive(None).unwrap_err().kind()
}

#[test]
fn messages_of_all_sizes_come_through_with_their_descriptors() {
    let (ours, theirs) = Pipe::pair().unwrap();
    let sizes = [0, 1, 111, 112, 113, 5_000, STREAM_BYTES, STREAM_BYTES + 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 << 20];
    let counts = [0, 1, FILES_AT_ONCE, FILES_AT_ONCE + 1, 600];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for size in sizes {
                for count in counts {
                    let files: Vec<OwnedFd> = (0..count).map(|_| ours.as_fd().try_clone_to_owned().unwrap()).collect();
                    ours.send(&pattern(size), &files).unwrap();
                }
            }
        });
        for size in sizes {
            for count in counts {
                assert!(received(&theirs) == (pattern(size), count), "{size} {count}");
            }
        }
    });
    theirs.send(b"back", &[]).unwrap();
    assert_eq!(received(&ours).0, b"back");
    drop(ours);
    assert_eq!(fault(&theirs), ErrorKind::Closed);
    assert_eq!(theirs.send(b"gone", &[]).unwrap_err().errno(), Some(EPIPE));
}

#[test]
fn large_messages_use_the_same_memory_again() {
    let (ours, theirs) = Pipe::pair().unwrap();
    for _ in 0..3 {
        ours.send(&pattern(BLOCK_BYTES), &[]).unwrap();
        assert!(received(&theirs).0 == pattern(BLOCK_BYTES));
    }
    let mut sending = turn(&ours.sending);
    assert_eq!(sending.blocks.as_mut().unwrap().take(), Some(0));
    let file = sending.blocks.as_ref().unwrap().as_fd().try_clone_to_owned().unwrap();
    assert_eq!(turn(&theirs.receiving).known.find(file).unwrap(), 0);
}

#[test]
fn a_wait_for_a_message_has_a_limit() {
    let (ours, theirs) = Pipe::pair().unwrap();
    let soon = || Some(Instant::now() + Duration::from_millis(5));
    assert_eq!(theirs.receive(soon()).unwrap_err().kind(), ErrorKind::TimedOut);
    ours.send(b"one", &[]).unwrap();
    assert_eq!(theirs.receive(soon()).unwrap().body.as_slice(), b"one");
}

#[test]
fn a_sender_without_a_free_block_ends_with_the_receiver() {
    let (ours, theirs) = Pipe::pair().unwrap();
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| ours.send(&pattern(64 << 20), &[]));
        // The message has begun, and does not fit.
        theirs.wait(Readiness::Read, None).unwrap();
        drop(theirs);
        assert_eq!(sender.join().unwrap().unwrap_err().errno(), Some(EPIPE));
    });
    assert!(ours.send(b"more", &[]).is_err());
}

#[test]
fn blocks_that_a_dead_process_took_with_it_do_not_stop_the_sender() {
    let (ours, theirs) = Pipe::pair().unwrap();
    let message = pattern(BLOCK_BYTES);
    // Another process that has the other end takes the heads and dies before it gives the blocks back.
    let (mut head, mut files) = ([0; HEAD_BYTES], Vec::new());
    for _ in 0..blocks::BLOCKS {
        ours.send(&message, &[]).unwrap();
        assert_eq!(receive_beside(&theirs, true, &mut head, &mut files).unwrap(), Some(HEAD_BYTES));
    }
    std::thread::scope(|scope| {
        scope.spawn(|| ours.send(&message, &[]).unwrap());
        assert!(received(&theirs).0 == message);
    });
}

#[test]
fn what_is_no_message_is_refused() {
    let segment = || memory_file("test", blocks::SEGMENT_BYTES, false).unwrap();
    let head = |place, files, block, size| Head { place, files, block, size }.encode(&[]);
    let of_another_size = memory_file("test", 4096, false).unwrap();
    let that_may_shrink = std::fs::File::from(memory_file("test", 0, false).unwrap());
    that_may_shrink.set_len(blocks::SEGMENT_BYTES as u64).unwrap();
    let cases: Vec<([u8; HEAD_BYTES], Vec<OwnedFd>)> = vec![
        ([9; HEAD_BYTES], vec![]),
        (head(Where::Stream, 0, 0, STREAM_BYTES + 1), vec![]),
        (head(Where::Stream, 0, 0, 1 << 41), vec![]),
        (head(Where::Stream, 2, 0, 1), vec![]),
        (head(Where::Stream, 0, 0, 1), vec![segment()]),
        (head(Where::Block, 0, 0, 1), vec![]),
        (head(Where::Block, 1, 8, 1), vec![segment()]),
        (head(Where::Block, 1, 0, 1), vec![of_another_size]),
        (head(Where::Block, 1, 0, 1), vec![that_may_shrink.into()]),
        (head(Where::Block, 1, 0, 1), vec![note_pair().unwrap().0]),
        // Ended within.
        (head(Where::Stream, 0, 0, 500), vec![]),
        (head(Where::Block, 1, 0, 1 << 39), vec![segment()]),
        (head(Where::Nowhere, 1, 0, 0), vec![segment()]),
    ];
    for (number, (head, files)) in cases.into_iter().enumerate() {
        let (ours, theirs) = Pipe::pair().unwrap();
        let beside: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        assert_eq!(send_beside(&ours, &head, &[], &beside).unwrap(), Some(HEAD_BYTES));
        drop(ours);
        assert_eq!(fault(&theirs), ErrorKind::Protocol, "{number}");
        // What follows cannot be told apart.
        assert_eq!(fault(&theirs), ErrorKind::Protocol, "{number}");
    }
    let (ours, theirs) = Pipe::pair().unwrap();
    send_beside(&ours, &[1; 7], &[], &[]).unwrap();
    drop(ours);
    assert_eq!(fault(&theirs), ErrorKind::Protocol);
}
