//! Looking at the pools of this machine from outside: what they run, for whoever asks, at no cost for them.
//!
//! A pool is found by the names of the memory files that its process has open (`/proc/PID/fd`), which the kernel shows to
//! those who may look into that process: its user, and root. Nothing of it is mapped, stopped or written to: its first pages are
//! read as any file is, and what they say is taken for what it is, the words of others.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::time::Duration;

use super::board::{BOARD_AT, BOARD_BYTES, Content, Read, content};
use crate::channel::{SHOWN_BYTES, Shown, report_place, shown};
use crate::error::{Error, ErrorKind, Result};
use crate::platform::{self, Traits, Usage};

/// The name of the memory file of a pool, and of a worker's.
const POOL: &str = "procession-pool";
const WORKER: &str = "procession-worker";
/// A process that had no pool is looked at again at each look of so many.
const SELDOM: u32 = 5;
/// A worker's process that this one cannot tell.
const NOBODY: u32 = 0;
/// Stacks that have not grown for so long are complete.
const QUIET: Duration = Duration::from_millis(20);
/// How often it is looked whether they have grown.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A worker of another process's pool.
#[derive(Clone, Debug)]
pub struct WorkerView {
    /// Its process, as this one calls it; 0 where it has none yet.
    pub pid: u32,
    /// What it shows of itself.
    pub shown: Shown,
    /// How long ago it was started.
    pub age: Duration,
    /// For how long it has had its item; nothing where it has none.
    pub busy: Duration,
    /// What it uses of the machine.
    pub usage: Usage,
    /// The descriptor of its segment in the process that has the pool.
    pub number: u32,
}

/// A pool of another process, or of this one.
#[derive(Clone, Debug)]
pub struct PoolView {
    /// The process that has it, as this one calls it.
    pub pid: u32,
    /// What its board says.
    pub board: Read,
    /// How long ago it was made.
    pub age: Duration,
    /// Its workers, by their places.
    pub workers: Vec<WorkerView>,
}

/// What was found at one look.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The pools, by their processes.
    pub pools: Vec<PoolView>,
    /// The processes with a pool of another layout, and their versions of procession.
    pub others: Vec<(u32, String)>,
    /// How many processes of this user could not be looked at.
    pub hidden: usize,
}

/// What was open in a process.
enum OpenBoard {
    /// No pool.
    Nothing,
    /// Memory files of pools and workers, which may be its own.
    Files(Vec<(u32, String)>),
    /// The pool is this user's and must not be looked at.
    Hidden,
}

/// Looks again and again: it knows which processes had no pool, and looks at those less often.
#[derive(Debug, Default)]
pub struct Look {
    round: u32,
    /// The identity of processes that had no pool, and whether they could be looked at.
    without: HashMap<u32, (u64, bool)>,
}

impl Look {
    /// Looks for pools at all processes of this machine that may be looked at.
    pub fn around(&mut self) -> Seen {
        let mut seen = Seen::default();
        let mut without = HashMap::new();
        for pid in platform::processes() {
            let before = self.without.get(&pid).filter(|_| !(pid.wrapping_add(self.round)).is_multiple_of(SELDOM));
            let same = before.filter(|(identity, _)| *identity == platform::identity_of(pid));
            if let Some(before) = same {
                seen.hidden += usize::from(!before.1);
                without.insert(pid, *before);
                continue;
            }
            match open_in(pid) {
                OpenBoard::Files(files) => look_at(pid, &files, &mut seen),
                OpenBoard::Nothing => drop(without.insert(pid, (platform::identity_of(pid), true))),
                OpenBoard::Hidden => {
                    seen.hidden += 1;
                    without.insert(pid, (platform::identity_of(pid), false));
                }
            }
        }
        self.without = without;
        self.round = self.round.wrapping_add(1);
        seen.pools.sort_by_key(|pool| (pool.pid, pool.board.serial));
        seen
    }
}

fn open_in(pid: u32) -> OpenBoard {
    match platform::memory_files_of(pid) {
        Ok(Some(files)) => {
            let files: Vec<_> = files.into_iter().filter(|(_, name)| name == POOL || name == WORKER).collect();
            if files.is_empty() { OpenBoard::Nothing } else { OpenBoard::Files(files) }
        }
        Ok(None) => match platform::traits_of(pid) {
            Some(traits) if traits.user == platform::own_user() => OpenBoard::Hidden,
            _ => OpenBoard::Nothing,
        },
        Err(_) => OpenBoard::Nothing,
    }
}

/// The pools of a process, by the memory files that it has open. Those of others are among them: its own as a worker, and what
/// it was forked with.
fn look_at(pid: u32, files: &[(u32, String)], seen: &mut Seen) {
    let Some(traits) = platform::traits_of(pid) else { return };
    let now = platform::monotonic_now();
    let opened = |number: u32| platform::look_into(pid, number);
    let mut pools: Vec<PoolView> = Vec::new();
    for (number, _) in files.iter().filter(|(_, name)| name == POOL) {
        match opened(*number).and_then(|file| twice(&file, BOARD_AT, BOARD_BYTES)) {
            Ok((first, second)) => match content(&first, &second) {
                Some(Content::Pool(board)) if is_owner(pid, &traits, board.owner) => {
                    let age = now.saturating_sub(board.made);
                    // A descriptor may be there twice.
                    if pools.iter().all(|pool| pool.board.serial != board.serial) {
                        pools.push(PoolView { pid, board: *board, age, workers: Vec::new() });
                    }
                }
                Some(Content::Other(version)) if !seen.others.iter().any(|(other, _)| *other == pid) => {
                    seen.others.push((pid, version));
                }
                _ => {}
            },
            Err(_) => continue,
        }
    }
    if pools.is_empty() {
        return;
    }
    for (number, _) in files.iter().filter(|(_, name)| name == WORKER) {
        let Ok((first, second)) = opened(*number).and_then(|file| twice(&file, 0, SHOWN_BYTES)) else { continue };
        let Some(shown) = shown(&first, &second) else { continue };
        let Some(pool) = pools.iter_mut().find(|pool| pool.board.serial == shown.pool) else { continue };
        let process = process_of(pid, &traits, shown.pid);
        let busy = if shown.now.is_working() { now.saturating_sub(shown.now.since) } else { Duration::ZERO };
        pool.workers.push(WorkerView {
            pid: process,
            age: if shown.pid == 0 { Duration::ZERO } else { now.saturating_sub(shown.started) },
            busy,
            usage: if process == NOBODY { Usage::default() } else { platform::usage_of(process) },
            number: *number,
            shown,
        });
    }
    for pool in &mut pools {
        pool.workers.sort_by_key(|worker| (worker.shown.place, worker.shown.started));
        // Its memory stays for as long as results lie there.
        pool.workers.retain(|worker| worker.pid == NOBODY || worker.usage != Usage::default());
    }
    seen.pools.append(&mut pools);
}

/// Bytes at one place of a file, read one time after the other.
fn twice(file: &OwnedFd, offset: usize, size: usize) -> Result<(Vec<u8>, Vec<u8>)> {
    let read = || {
        let mut bytes = vec![0; size];
        platform::read_at(file, offset, &mut bytes).map(|()| bytes)
    };
    Ok((read()?, read()?))
}

/// Whether process `pid` is the one that calls itself `owner`.
fn is_owner(pid: u32, traits: &Traits, owner: u64) -> bool {
    if traits.numbers.last() != Some(&platform::pid_of(owner)) {
        return false;
    }
    // Within a container time may have begun later.
    let started = (owner >> 32) as u32;
    traits.numbers.len() > 1 || started == 0 || platform::identity_of(pid) == owner
}

/// The process here that the one with these traits calls `number`.
fn process_of(pid: u32, traits: &Traits, number: u32) -> u32 {
    if number == NOBODY || traits.numbers.len() <= 1 {
        return number;
    }
    platform::process_within(pid, number).unwrap_or(NOBODY)
}

/// Has a worker write its Python stacks, and gives them; none when nothing came within `limit`. `number` is the descriptor of its
/// segment in the process `owner`, `signal` what it writes them for.
///
/// Its parent does not hear of it, and nothing is stopped: the worker's own signal handler writes. `go_on` is asked every few
/// milliseconds, and ends the wait as the limit does.
///
/// # Errors
/// `InvalidInput` where the worker has no handler for the signal, which would end it, or no room is left for what it writes;
/// the system's.
pub fn stacks(
    owner: u32,
    number: u32,
    worker: u32,
    signal: u8,
    limit: Duration,
    mut go_on: impl FnMut() -> bool,
) -> Result<Option<Vec<u8>>> {
    let refused = |message: String| Err(Error::new(ErrorKind::InvalidInput, message));
    // Held before it is looked at: its number cannot become another's.
    let process = platform::pidfd_of(worker as i32)?;
    let has_handler = |traits: Traits| signal > 0 && traits.caught >> (signal - 1) & 1 == 1;
    if !platform::traits_of(worker).is_some_and(has_handler) {
        return refused(format!("process {worker} does not write stacks: it is starting, or no Python program"));
    }
    let file = platform::look_into(owner, number)?;
    let place = report_place(platform::file_size(&file)?);
    let before = platform::position_of(owner, number)? as usize;
    // The rest is for what it writes before a crash.
    if before < place.start || before > place.start + place.len() / 2 {
        return refused("its room for stacks is used up: pool.dump_stacks() in the program makes room".to_owned());
    }
    platform::send_signal(&process, signal.into(), 0, 0)?;
    let until = platform::monotonic_now() + limit;
    let (mut at, mut since) = (before, platform::monotonic_now());
    loop {
        let now = platform::monotonic_now();
        let position = platform::position_of(owner, number)? as usize;
        if position != at {
            (at, since) = (position, now);
        }
        // One that writes at every look would have no end.
        if at > before && now.saturating_sub(since) >= QUIET || now >= until || !go_on() {
            break;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    let mut bytes = vec![0; at.clamp(before, place.end) - before];
    platform::read_at(&file, before, &mut bytes)?;
    Ok((!bytes.is_empty()).then_some(bytes))
}
