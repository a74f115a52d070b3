//! The parent's end of the forkserver: one for the process, started when it is needed, and again when it has died.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use super::arrive::FORKSERVER;
use super::order::OrderFile;
use super::serve::{DIRECTORY, WORD_BYTES};
use super::start::{Started, environment, run};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Child, Own, Readiness, forks, identity};

/// How long an answer may take; nothing is lost when a forkserver that is only slow is given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);
/// How long the first one may take: the program is loaded meanwhile.
const FIRST_ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How long a killed forkserver may take to end.
const END_LIMIT: Duration = Duration::from_secs(2);
/// How often a request is made again when the forkserver died of it.
const ATTEMPTS: u32 = 3;

/// A running forkserver.
#[derive(Debug)]
struct Server {
    socket: OwnedFd,
    child: Child,
    /// The environment that it was started with.
    environment: Vec<CString>,
    /// Whether it has answered.
    is_up: bool,
    /// The process that started it: one forked from that must not use it.
    user: (u64, u32),
}

static SERVER: Own<Option<Server>> = Own::new(|| None);
/// Why it cannot be used in this program, once that is known.
static UNFIT: Own<Option<Error>> = Own::new(|| None);

/// What came of a request.
enum Answer {
    Child(Child),
    /// There is no child of it, and no forkserver any more.
    Died,
    Refused(Error),
}

/// Starts a child by the forkserver.
///
/// # Errors
/// The system's; `InvalidInput` when the forkserver of this program cannot be copied, or for too many descriptors; `TimedOut` when it
/// is not known whether there is a child.
pub(super) fn start(order: &[u8], files: &[BorrowedFd<'_>], mask: u64) -> Result<Started> {
    if let Some(error) = &*UNFIT.lock() {
        return Err(error.clone());
    }
    let (notes, theirs) = platform::note_pair()?;
    let mut known = SERVER.lock();
    let mut ending = None;
    for _ in 0..ATTEMPTS {
        let current = known.take_if(|server| server.user == (identity(), forks()));
        let mut server = current.map_or_else(Server::start, Ok)?;
        let environment = environment();
        let changed = (environment != server.environment).then_some(&environment[..]);
        let file = match OrderFile::create(order, changed) {
            Ok(file) => file,
            Err(error) => {
                *known = Some(server);
                return Err(error);
            }
        };
        match server.request(&file, &theirs, files, mask) {
            Ok(Answer::Child(child)) => {
                server.is_up = true;
                *known = Some(server);
                return Ok(Started { child, notes, file });
            }
            Ok(Answer::Refused(error)) => {
                server.end();
                if error.errno().is_none() {
                    *UNFIT.lock() = Some(error.clone());
                }
                return Err(error);
            }
            Ok(Answer::Died) => ending = server.end(),
            Err(error) => {
                // What is wrong with this request is nothing to the next.
                *known = Some(server);
                return Err(error);
            }
        }
        // There may be a child though its forkserver died before it could say so.
        if let Some(id) = file.id()? {
            return Ok(Started { child: Child::of(id)?, notes, file });
        }
    }
    let message = format!("the forkserver died again and again ({ending:?})");
    Err(Error::new(ErrorKind::WorkerDied, message))
}

impl Server {
    fn start() -> Result<Server> {
        let (socket, theirs) = platform::note_pair()?;
        let parent = platform::own_pidfd()?;
        let environment = environment();
        let child = run(FORKSERVER, &[theirs.as_raw_fd(), parent.as_raw_fd()], 0)?;
        Ok(Server { socket, child, environment, is_up: false, user: (identity(), forks()) })
    }

    fn request(&self, file: &OrderFile, notes: &OwnedFd, files: &[BorrowedFd<'_>], mask: u64) -> Result<Answer> {
        let (streams, directory) = (platform::standard_streams(), platform::working_directory());
        let mut given = u8::from(directory.is_some()) << DIRECTORY;
        let mut all = vec![file.descriptor().as_fd(), notes.as_fd()];
        for (place, stream) in streams.into_iter().enumerate() {
            given |= u8::from(stream.is_some()) << place;
            all.extend(stream);
        }
        all.extend(directory.as_ref().map(AsFd::as_fd));
        all.extend(files);
        let mut note = vec![given];
        note.extend(mask.to_ne_bytes());
        match platform::send_note(&self.socket, &note, &all) {
            Ok(true) => self.answer(Instant::now() + if self.is_up { ANSWER_LIMIT } else { FIRST_ANSWER_LIMIT }),
            Ok(false) => Err(Error::new(ErrorKind::Os, "too many descriptors are on their way")),
            Err(error) if error.kind() == ErrorKind::InvalidInput => Err(error),
            Err(_) => Ok(Answer::Died),
        }
    }

    fn answer(&self, until: Instant) -> Result<Answer> {
        if !wait_for(&self.socket, until)? {
            self.child.kill();
            if !wait_for(&self.socket, Instant::now() + END_LIMIT)? {
                let message = "the forkserver gave no answer, and its children cannot be told";
                return Err(Error::new(ErrorKind::TimedOut, message));
            }
        }
        let (note, mut files) = match platform::receive_note(&self.socket) {
            Ok(answer) => answer,
            Err(_) => return Ok(Answer::Died),
        };
        let word =
            |at: usize| note.get(at..at + WORD_BYTES).map(|word| i32::from_ne_bytes(word.try_into().expect("four")));
        match (word(0), word(WORD_BYTES), files.pop()) {
            (Some(id @ 1..), None, Some(pidfd)) => Ok(Answer::Child(Child::with(id, pidfd))),
            (Some(0), Some(0), _) => {
                let why = String::from_utf8_lossy(&note[2 * WORD_BYTES..]);
                let message = format!("the forkserver cannot be used: {why}; StartMethod::Spawn can");
                Ok(Answer::Refused(Error::new(ErrorKind::InvalidInput, message)))
            }
            (Some(0), Some(errno), _) => Ok(Answer::Refused(Error::os("the forkserver", errno))),
            _ => Ok(Answer::Died),
        }
    }

    /// Ends it, and says how it ended.
    fn end(self) -> Option<crate::platform::Ending> {
        self.child.kill();
        drop(self.socket);
        let _ = wait_for(&self.child, Instant::now() + END_LIMIT);
        self.child.ending().ok().flatten()
    }
}

/// Waits until there is something to read; false at the deadline.
fn wait_for(file: impl AsFd, until: Instant) -> Result<bool> {
    let watched = [(file.as_fd().as_raw_fd(), Readiness::Read)];
    loop {
        match platform::wait_descriptors(&watched, Some(until), None) {
            Ok(ready) => return Ok(!ready.is_empty()),
            Err(error) if error.is_interrupted() => {}
            Err(error) => return Err(error),
        }
    }
}
