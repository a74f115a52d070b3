//! What the decoders are given by processes that go right: where the fuzz targets start from.

use std::sync::Arc;

use crate::channel::neutral::{ItemType, SharedAt, SharedKind, Writer};
use crate::channel::{Badge, Frame, FrameKind, HEAD_BYTES, RUN_END};
use crate::face::{Item, Preamble};
use crate::function::{Bytes, Failure, encode};
use crate::pool::{BOARD_AT, Board, Grant, ItemLimits, RecordHead, Title};
use crate::shared_memory::{Segment, copy_out};

/// A target's name and inputs for it.
pub type Seeds = (&'static str, Vec<Vec<u8>>);

fn frame(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let head = Frame { kind, large: payload.len() == 16, ticket: 5, item: 2, size: payload.len() as u32 };
    [&head.encode()[..], payload].concat()
}

fn frames() -> Vec<Vec<u8>> {
    let run = frame(FrameKind::Run, b"");
    vec![
        frame(FrameKind::Returned, b"a result"),
        [frame(FrameKind::Raised, &[9; 16]), frame(FrameKind::Done, &7u64.to_le_bytes())].concat(),
        [&run[..], &[3, 1, 2, 3, 0, 1, 9, RUN_END], &frame(FrameKind::Leaving, b"")[..]].concat(),
        [&run[..], &[4, 1, 2]].concat(),
    ]
}

fn record() -> Vec<u8> {
    let grant = Grant { job: 3, first: 0, count: 2, chunk: 1 };
    let mut bytes = RecordHead::of(&grant, ItemLimits { timed: true, ..ItemLimits::default() }).encode().to_vec();
    Preamble { crossing: 4096, routine: 1, context_at: 0, context_size: 0, seed: &[] }.encode(&mut bytes);
    let item = |into: &mut Vec<u8>| {
        into.extend_from_slice(b"an argument");
        Ok::<_, ()>(vec![0, 1])
    };
    let _ = Item::encode(&mut bytes, item);
    Item::encode_failure(&mut bytes, "it could not be encoded");
    bytes
}

fn values() -> Vec<Vec<u8>> {
    let failure = Failure::Panicked { message: "no".into(), location: "a.rs:1:2".into() };
    let mut all = vec![failure.encode(), Vec::new(), vec![], vec![]];
    let several = (
        "text".to_owned(),
        vec![1u32, 1 << 20],
        Some(Bytes(vec![1, 2, 3])),
        vec![(1u8, -1i64)],
        std::collections::BTreeMap::from([("key".to_owned(), vec![true, false])]),
    );
    let _ = encode(&several, &mut all[1]);
    let _ = encode(&vec![1.5f64, f64::NAN], &mut all[2]);
    let _ = encode(&vec![vec!["a".to_owned()], vec![]], &mut all[3]);
    all
}

/// Values as programs of another language write them.
fn neutral() -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new(); 5];
    let mut writer = Writer::new(&mut all[0]);
    writer.tuple(5);
    writer.text("text");
    writer.list(2);
    [1, 1 << 100].into_iter().for_each(|number| writer.int(number));
    writer.none();
    writer.list(0);
    writer.dict(1);
    writer.text("key");
    writer.list(2);
    [true, false].into_iter().for_each(|truth| writer.bool(truth));
    let mut writer = Writer::new(&mut all[1]);
    writer.tuple(2);
    writer.array(ItemType { kind: b'f', size: 8 }, true, &[1, 2]);
    writer.raw(&[0; 16]);
    writer.array(ItemType { kind: b'u', size: 1 }, false, &[]);
    writer.raw(&[7]);
    let mut writer = Writer::new(&mut all[2]);
    writer.dict(1);
    writer.text("Err");
    writer.tuple(2);
    writer.float(0.5);
    writer.bytes(&[1, 2, 3]);
    let item = ItemType { kind: 0, size: 0 };
    let place = SharedAt { kind: SharedKind::Event, item, file: 0, at: 64, size: 64 };
    Writer::new(&mut all[3]).shared(&place);
    let mut writer = Writer::new(&mut all[4]);
    writer.tuple(2);
    writer.apart(ItemType { kind: b'f', size: 8 }, true, &[1, 2], 0);
    writer.apart(ItemType { kind: b'u', size: 1 }, false, &[1 << 20], 1);
    all
}

/// The first bytes of a board with two jobs, and those of a worker that says something.
fn shown() -> Vec<Vec<u8>> {
    let bytes_of = |segment: &Segment, from: usize| {
        let mut bytes = vec![0];
        copy_out(segment.mapping(), from, 512, &mut bytes);
        bytes
    };
    let Ok(segment) = Segment::create("seeds", 1 << 14, true).map(Arc::new) else { return Vec::new() };
    let mut board = Board::new(segment.clone());
    board.entitle("program.py", "forkserver", 4, Some(1 << 30));
    let map = Title { function: "resize", id: 1, method: "imap", is_call: false };
    let entry = board.begin(1, None, map);
    board.counts().done(entry, 7);
    board.begin(2, Some(1), Title { function: "train", id: 2, method: "apply", is_call: true });
    let badge = Badge::new(segment.clone());
    badge.assign(1, 2);
    badge.say(0, 0, 3.0, Some(9.0), "loss 0.25");
    badge.give(0, 0, "'a.png'");
    vec![bytes_of(&segment, BOARD_AT), bytes_of(&segment, 0)]
}

/// Some words over those of a mapping: how many, then for each its place, what kind of number it is, and the number.
fn scribbles(words: &[(u16, u64)]) -> Vec<u8> {
    let one = |(at, value): &(u16, u64)| [&at.to_le_bytes()[..], &[255], &value.to_le_bytes()].concat();
    [vec![words.len() as u8], words.iter().flat_map(one).collect()].concat()
}

/// The head of a message of a pipe: where it is, how many descriptors, the block, the size.
fn head(place: u8, files: u16, block: u32, size: u64) -> Vec<u8> {
    let fields = [&[place, 0][..], &files.to_ne_bytes(), &block.to_ne_bytes(), &size.to_ne_bytes()].concat();
    [&fields[..], &[b'm'; HEAD_BYTES - 16]].concat()
}

/// Inputs for every target.
pub fn seeds() -> Vec<Seeds> {
    let argument = |text: &str, numbers: &[u16]| {
        let mut bytes = vec![0; 9];
        let _ = encode(&(text.to_owned(), numbers.to_vec()), &mut bytes);
        bytes
    };
    let place = |offset: u64, size: u64| [offset.to_le_bytes(), size.to_le_bytes()].concat();
    let damage = [(0, 1), (8, 1 << 40), (16, u64::MAX), (24, 4096), (32, 64)];
    let queue_words = [(8, 1 << 32), (16, 1 << 16), (16, 0x0001_0001_0000), (32, 3), (34, 9), (24, 5), (512, 1)];
    vec![
        ("frame", frames()),
        (
            "ring",
            vec![
                [&[0, 0, 40][..], &[7; 41], &scribbles(&damage), &place(1 << 20, 64)].concat(),
                [&[0, 1, 9][..], &[2, 1, 1, 3, 0, 0, 0, 255, 0], &scribbles(&[]), &place(8, 1 << 30)].concat(),
            ],
        ),
        (
            "slots",
            vec![
                [&[0][..], &[5; 24], &[1, 1], &place(1 << 20, 9), &[2, 4, 1, 3]].concat(),
                [&[0][..], &[5; 24], &[0], &[0; 24], &[6], &scribbles(&[(8, 3), (16, 900)]), &[0]].concat(),
                [&[7][..], &scribbles(&[(2048, 1), (2049, 1 << 31), (16, 1)]), &[3, 4, 3]].concat(),
            ],
        ),
        ("look", shown()),
        ("record", vec![record(), record()[24..].to_vec()]),
        ("codec", values()),
        ("neutral", neutral()),
        ("routine", vec![argument("text", &[1, 2]), argument("", &[]), vec![1; 20]]),
        ("rights", vec![vec![2, 0, 1, 2, 3, b'n'], vec![0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]]),
        (
            "message",
            vec![
                b"\0\0\0\x05hello\0\0\0\0\0\0\0\x01x".to_vec(),
                b"\xff\xff\xff\xff\0\0\0\0\0\0\0\x03abc".to_vec(),
                b"\0\0\0\x09short".to_vec(),
            ],
        ),
        (
            "pipe",
            vec![
                [&[0][..], &head(1, 0, 0, 5), &head(1, 0, 0, 0), &head(1, 0, 0, 200), &[7; 88]].concat(),
                [&[1][..], &head(2, 1, 0, 300_000), &head(2, 0, 7, 300_000), &head(2, 0, 3, 300_000)].concat(),
                [&[2][..], &head(3, 2, 0, 0), &head(1, 0, 0, 1), &head(2, 0, 8, 1 << 39)].concat(),
            ],
        ),
        (
            "sync",
            vec![
                [&place(64, 64)[..], &scribbles(&damage), &scribbles(&[(128, 1), (136, 2), (256, 4)])].concat(),
                [&place(u64::MAX, 1)[..], &scribbles(&[(0, 1 << 22), (8, 0x3f_ffff), (16, 1 << 32 | 7)])].concat(),
            ],
        ),
        ("arena", vec![[&[0][..], &place(8184, 8), &[1], &place(u64::MAX - 3, 8), &[1], &place(16, 1 << 40)].concat()]),
        (
            "queue",
            vec![
                [&[0][..], &[1; 9], &[200, 0], &[2; 9], &[3, 3, 0], &[3; 9], &[1, 3]].concat(),
                [&[0][..], &[1; 9], &[250, 1], &scribbles(&queue_words), &[0], &[1; 9], &[250, 3, 3]].concat(),
                [&[0][..], &[1; 9], &[9, 2], &scribbles(&[(512, 0), (513, 0), (16, 5 << 32)]), &[3, 0]].concat(),
            ],
        ),
    ]
}
