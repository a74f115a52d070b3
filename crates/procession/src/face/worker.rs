//! The loop of a worker: claim a record, rebuild its items, call, publish.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::parent_id;
use std::sync::Arc;
use std::time::Duration;

use super::callee::{Callee, FOREIGN, Find};
use super::current;
use super::desk::WorkerDesk;
use super::wire::{Item, PartPlace, Preamble, Reply, decode_places};
use crate::channel::FrameKind;
use crate::error::{Error, ErrorKind, Result};
use crate::function::{self, Failure, Routine};
use crate::platform;
use crate::pool::{RecordHead, Turn, Worker};
use crate::process::ChildEnd;

/// Of how many calls a worker keeps the function with its context or state: more would be memory that nobody needs.
const ROUTINES: usize = 4;
/// How long notes that found no room wait.
const NOTES_AGAIN: Duration = Duration::from_millis(1);

/// What is called for each item.
enum Called {
    Routine(Box<dyn Routine>),
    Foreign(Arc<dyn Callee>),
}

/// The part of a worker that a record does not change.
struct WorkerSetup {
    worker: Worker,
    /// Whether it ends after a panic.
    retires: bool,
    index: u64,
    /// How many results with descriptors there were.
    noted: u64,
    /// The one that ran last at the end.
    routines: Vec<(u64, Called)>,
    /// Descriptors by the number that the parent gave them.
    files: HashMap<u64, Arc<OwnedFd>>,
    notes: OwnedFd,
    /// All descriptors with a smaller number have come, or are gone.
    seen: u64,
    out: Vec<u8>,
    /// The function of another language.
    callee: Option<Arc<dyn Callee>>,
}

/// Serves a pool until it is closed, or as many items are done as `order` says (0: no limit).
pub(super) fn work(arrival: &ChildEnd, order: &[u8], find: Option<Find<'_>>) -> Result<i32> {
    platform::leave_termination_to(parent_id() as i32)?;
    let nonsense = || Error::new(ErrorKind::Protocol, "an order without a seat");
    let (index, rest) = order.split_first_chunk().ok_or_else(nonsense)?;
    let (limit, rest) = rest.split_first_chunk().ok_or_else(nonsense)?;
    let limit = u64::from_le_bytes(*limit);
    let (retires, rest) = rest.split_first().ok_or_else(nonsense)?;
    let mut copies =
        arrival.files.iter().map(|file| file.try_clone().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0))));
    let mut next = || copies.next().unwrap_or_else(|| Err(nonsense()));
    let index = u64::from_le_bytes(*index);
    let worker = Worker::open(index as usize, next()?, next()?, next()?)?;
    let notes = arrival.notes.try_clone().map_err(|e| Error::os("dup", e.raw_os_error().unwrap_or(0)))?;
    let (routines, files, out) = (Vec::new(), HashMap::new(), Vec::new());
    let retires = *retires != 0;
    let mut seat = WorkerSetup { worker, retires, index, noted: 0, routines, files, notes, seen: 0, out, callee: None };
    if let Some(find) = find {
        match find() {
            Ok(callee) => seat.callee = Some(callee),
            Err(failure) => {
                seat.worker.init_failed(&failure.encode())?;
                return Ok(1);
            }
        }
    }
    let mut left = if limit == 0 { u64::MAX } else { limit };
    if let Some(distance) = rest.first_chunk() {
        let crossing = function::arrived(u64::from_le_bytes(*distance)).ok_or_else(nonsense)?;
        if let Err(failure) = function::guarded(|| crossing.prepare(&[])) {
            seat.worker.init_failed(&failure.encode())?;
            return Ok(1);
        }
    }
    seat.worker.ready()?;
    loop {
        match seat.worker.turn() {
            Ok(Turn::Record(head)) => {
                seat.record(head, &mut left)?;
                if left == 0 {
                    seat.worker.leaving()?;
                    return Ok(0);
                }
            }
            Ok(Turn::Leave) => {
                seat.worker.leaving()?;
                return Ok(0);
            }
            Ok(Turn::Stop) => return Ok(0),
            Ok(Turn::Idle) => {}
            Err(error) if error.is_interrupted() => {}
            Err(error) => return Err(error),
        }
    }
}

impl WorkerSetup {
    fn record(&mut self, head: RecordHead, left: &mut u64) -> Result<()> {
        self.worker.decoding();
        let record = self.worker.take_body();
        let body = RecordHead::decode(&record).map_or(&[][..], |(_, body)| body);
        let answer = self.items(head, body, left);
        current::rests();
        self.worker.put_body(record);
        answer
    }

    fn items(&mut self, head: RecordHead, mut body: &[u8], left: &mut u64) -> Result<()> {
        let preamble = Preamble::decode(&mut body)?;
        let mut called = self.called(&preamble)?;
        let places = if preamble.crossing == FOREIGN { decode_places(&mut body)? } else { Vec::new() };
        current::begin(preamble.crossing, preamble.seed);
        for done in 1..=head.count {
            let item = Item::decode(&mut body)?;
            if done > 1 {
                self.worker.decoding();
            }
            current::runs(head.first + u64::from(done) - 1);
            let parts = places.iter().filter(|(item, _)| item + 1 == done).map(|(_, place)| *place).collect();
            let panicked = self.item(&mut called, &item, parts)?;
            *left = if panicked && self.retires { 0 } else { left.saturating_sub(1) };
            if done == head.count {
                break;
            }
            let slow = self.worker.between();
            if *left == 0 || (slow && head.splittable) {
                self.keep(&preamble, called);
                return self.worker.hand_back();
            }
        }
        self.keep(&preamble, called);
        self.worker.done()
    }

    /// Runs an item and sends its outcome; says whether it panicked.
    fn item(
        &mut self,
        called: &mut std::result::Result<Called, Failure>,
        item: &Item<'_>,
        parts: Vec<PartPlace>,
    ) -> Result<bool> {
        let files = self.files_of(item)?;
        let mut out = std::mem::take(&mut self.out);
        out.clear();
        let worker = &mut self.worker;
        let mut lent = Vec::new();
        let answer = match (called, files) {
            (Ok(Called::Routine(routine)), Ok(files)) => function::receiving(files, || {
                function::guarded(|| routine.run(item.bytes, &mut out, &mut || worker.running()))
            }),
            (Ok(Called::Foreign(callee)), Ok(files)) => function::receiving(files, || {
                let mut desk = WorkerDesk::new(worker, &parts);
                let ran = function::guarded(|| {
                    let (answer, files) = function::sending(|| callee.call(item.bytes, &mut out, &mut desk));
                    answer?;
                    Ok(files)
                });
                lent = desk.end(ran.is_ok());
                ran
            }),
            (Err(failure), _) => Err(failure.clone()),
            (_, Err(failure)) => Err(failure),
        };
        // Of an argument that could not be rebuilt too: the outcome belongs to an item that ran.
        self.worker.running();
        let panicked = matches!(answer, Err(Failure::Panicked { .. }));
        let sent = match answer {
            Ok(files) if files.is_empty() && lent.is_empty() => self.worker.outcome(FrameKind::Returned, &out),
            Ok(files) => self.attached(&files, lent, &out),
            Err(failure) => self.worker.outcome(FrameKind::Raised, &Reply::Failed(failure).encode()),
        };
        let sent = sent.or_else(|error| {
            let message = format!("the result could not be sent: {error}");
            self.worker.outcome(FrameKind::Raised, &Reply::Failed(Failure::Codec { message }).encode())
        });
        if out.capacity() > 4 << 20 {
            out = Vec::new();
        }
        self.out = out;
        sent.map(|()| panicked)
    }

    /// Sends a result with descriptors, these first, so that they are there when it is read; or with parts in blocks that the
    /// parent gives back.
    fn attached(&mut self, files: &[OwnedFd], parts: Vec<PartPlace>, bytes: &[u8]) -> Result<()> {
        self.noted += 1;
        for some in files.chunks(platform::MOST_FILES) {
            let some: Vec<_> = some.iter().map(AsFd::as_fd).collect();
            while !platform::send_note(&self.notes, &self.noted.to_le_bytes(), &some)? {
                // The parent takes notes when it reads results.
                self.worker.flush();
                std::thread::sleep(NOTES_AGAIN);
            }
        }
        let blocks: Vec<_> = parts.iter().map(|(offset, _)| *offset as usize).collect();
        let reply = Reply::Attached { index: self.index, note: self.noted, count: files.len() as u64, parts, bytes };
        let sent = self.worker.returned_with_more(&reply.encode());
        if sent.is_err() {
            blocks.into_iter().for_each(|offset| self.worker.unlend(offset));
        }
        sent
    }

    /// The function of a record, made on first sight.
    fn called(&mut self, preamble: &Preamble<'_>) -> Result<std::result::Result<Called, Failure>> {
        if let Some(at) = self.routines.iter().position(|(name, _)| *name == preamble.routine) {
            return Ok(Ok(self.routines.remove(at).1));
        }
        while self.routines.len() >= ROUTINES {
            drop(self.routines.remove(0));
        }
        let nonsense = || Error::new(ErrorKind::Protocol, "a record without a function");
        if preamble.crossing == FOREIGN {
            let callee = self.callee.clone().ok_or_else(nonsense)?;
            return Ok(Ok(Called::Foreign(callee)));
        }
        let crossing = function::arrived(preamble.crossing).ok_or_else(nonsense)?;
        let mut context = Vec::new();
        if preamble.context_size > 0
            && !self.worker.read_block(preamble.context_at, preamble.context_size, &mut context)
        {
            return Err(nonsense());
        }
        let mut bytes = &context[..];
        let context = if bytes.is_empty() { Item::default() } else { Item::decode(&mut bytes)? };
        let files = match self.files_of(&context)? {
            Ok(files) => files,
            Err(failure) => return Ok(Err(failure)),
        };
        let prepared = function::receiving(files, || function::guarded(|| crossing.prepare(context.bytes)));
        Ok(prepared.map(Called::Routine))
    }

    fn keep(&mut self, preamble: &Preamble<'_>, called: std::result::Result<Called, Failure>) {
        let Ok(called) = called else { return };
        self.routines.push((preamble.routine, called));
    }

    /// The descriptors of an item; waits for those that are still on their way.
    fn files_of(&mut self, item: &Item<'_>) -> Result<std::result::Result<Vec<Arc<OwnedFd>>, Failure>> {
        if item.is_failure {
            return Ok(Err(Failure::Codec { message: String::from_utf8_lossy(item.bytes).into_owned() }));
        }
        let mut files = Vec::new();
        for number in item.files() {
            while number >= self.seen && !self.files.contains_key(&number) {
                self.note()?;
            }
            match self.files.get(&number) {
                Some(file) => files.push(file.clone()),
                None => return Ok(Err(Failure::Codec { message: "the task was withdrawn".into() })),
            }
        }
        Ok(Ok(files))
    }

    /// Takes a note: a number and its descriptor, or a number alone that is no longer needed.
    fn note(&mut self) -> Result<()> {
        let (note, mut files) = match platform::receive_note(&self.notes) {
            Err(error) if error.is_interrupted() => return Ok(()),
            answer => answer?,
        };
        let Some(number) = note.first_chunk() else { return Ok(()) };
        let number = u64::from_le_bytes(*number);
        self.seen = self.seen.max(number.saturating_add(1));
        match files.pop() {
            Some(file) => drop(self.files.insert(number, Arc::new(file))),
            None => drop(self.files.remove(&number)),
        }
        Ok(())
    }
}
