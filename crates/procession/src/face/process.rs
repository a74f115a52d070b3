//! `Process`: a function in a process of its own.

use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child::CALL;
use super::error::TaskError;
use super::wait::{Alarm, sealed::Source};
use crate::error::{Error, ErrorKind, Result};
use crate::function::{self, Bare, Failure, Stateless};
use crate::platform::{Ending, Own, Readiness, receive_note_now, signal_mask, wait_descriptors};
use crate::process::{self, Progress, StartMethod, Started};

/// How a process ended.
///
/// ```
/// # fn main() -> procession::Result<()> {
/// use procession::Process;
///
/// let process = Process::spawn(|code: i32| -> () { std::process::exit(code) }, 3)?;
/// assert!(process.join().is_err());
/// let status = process.exit_status().unwrap();
/// assert_eq!((status.success(), status.code(), status.signal()), (false, Some(3), None));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(Ending);

impl ExitStatus {
    /// Whether it ended by itself with code 0.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let process = procession::Process::spawn(|x: u8| x, 1)?;
    /// process.join()?;
    /// assert!(process.exit_status().unwrap().success());
    /// # Ok(()) }
    /// ```
    pub fn success(self) -> bool {
        self.0 == Ending::Exited(0)
    }

    /// The code, if it ended by itself; 101 after a panic.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let process = procession::Process::spawn(|_: u8| -> u8 { panic!() }, 1)?;
    /// assert!(process.join().is_err());
    /// assert_eq!(process.exit_status().unwrap().code(), Some(101));
    /// # Ok(()) }
    /// ```
    pub fn code(self) -> Option<i32> {
        match self.0 {
            Ending::Exited(code) => Some(code),
            Ending::Killed(_) => None,
        }
    }

    /// The signal that ended it, if one did.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let process = procession::Process::spawn(|_: u8| -> u8 { std::process::abort() }, 1)?;
    /// assert!(process.join().is_err());
    /// assert_eq!(process.exit_status().unwrap().signal(), Some(6));
    /// # Ok(()) }
    /// ```
    pub fn signal(self) -> Option<i32> {
        match self.0 {
            Ending::Killed(signal) => Some(signal),
            Ending::Exited(_) => None,
        }
    }
}

/// Children whose handle was dropped while they ran: waited for whenever another one is started, so that none stays a zombie.
static LEFT: Own<Vec<Started>> = Own::new(Vec::new);

/// A function that runs in a process of its own.
///
/// The process is this executable, started anew; of the function only its type crosses, and the argument as bytes. It
/// shares no memory with this process: a crash, an endless loop or a leak over there stays there. It ends when this
/// process ends, however that happens. Dropping the handle lets it run on.
///
/// ```
/// use procession::Process;
///
/// fn worker(name: String) -> usize { name.len() }
///
/// # fn main() -> procession::Result<()> {
/// let process = Process::spawn(worker, "a name".into())?;
/// assert_eq!(process.join()?, 6);
/// # Ok(()) }
/// ```
///
/// A closure is a function too as long as it captures nothing; what it needs is its argument:
///
/// ```compile_fail
/// # fn main() -> procession::Result<()> {
/// let times = 3;
/// procession::Process::spawn(move |name: String| name.repeat(times), "Ada".to_owned())?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Process<R> {
    started: Option<Started>,
    /// The descriptors of the result.
    files: Mutex<Vec<Arc<OwnedFd>>>,
    result: PhantomData<fn() -> R>,
}

impl<R: Serialize + DeserializeOwned + 'static> Process<R> {
    /// Starts a process that calls `function` with `argument`.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::Process;
    ///
    /// let processes: Vec<_> = (1..=4).map(|n| Process::spawn(|n: u32| n * n, n)).collect::<Result<_, _>>()?;
    /// for (n, process) in (1..).zip(processes) {
    ///     assert_eq!(process.join()?, n * n);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The system's, when no process can be had; `InvalidInput` for an argument that cannot be turned into bytes, and for a
    /// function of a library that was loaded at run time.
    pub fn spawn<F, A>(function: F, argument: A) -> Result<Process<R>>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
    {
        Self::start(None, function, argument)
    }

    /// As [`Process::spawn`], by this start method and no other.
    ///
    /// ```
    /// use procession::{Process, StartMethod};
    ///
    /// # fn main() -> procession::Result<()> {
    /// let process = Process::spawn_by(StartMethod::Spawn, |x: u32| x + 1, 1)?;
    /// assert_eq!(process.join()?, 2);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Those of [`Process::spawn`]; `InvalidInput` for [`StartMethod::Forkserver`] where it cannot be used: a constructor of the
    /// program or one of its libraries starts threads before `main`.
    pub fn spawn_by<F, A>(method: StartMethod, function: F, argument: A) -> Result<Process<R>>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
    {
        Self::start(Some(method), function, argument)
    }

    fn start<F, A>(method: Option<StartMethod>, function: F, argument: A) -> Result<Process<R>>
    where
        F: Fn(A) -> R + Stateless,
        A: Serialize + DeserializeOwned + 'static,
    {
        wait_for_those_left();
        let mut order = vec![CALL];
        order.extend_from_slice(&Bare::crossing(function)?.to_le_bytes());
        let (encoded, files) = function::sending(|| function::encode(&argument, &mut order));
        encoded
            .map_err(|reason| Error::new(ErrorKind::InvalidInput, format!("the argument cannot be sent: {reason}")))?;
        let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let started = process::start(method, &order, &files, signal_mask())?;
        Ok(Process { started: Some(started), files: Mutex::default(), result: PhantomData })
    }

    fn started(&self) -> &Started {
        self.started.as_ref().expect("there until dropped")
    }

    /// Waits for its end, and gives what the function returned. May be asked again.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Process, TaskError};
    ///
    /// let process = Process::spawn(|x: i32| if x < 0 { panic!("negative") } else { x }, -1)?;
    /// match process.join() {
    ///     Err(TaskError::Panicked { message, .. }) => assert_eq!(message, "negative"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// How it ended otherwise.
    pub fn join(&self) -> std::result::Result<R, TaskError> {
        loop {
            if let Some(answer) = self.join_until(None)? {
                return answer;
            }
        }
    }

    /// What the function returned, or how it failed; none while it runs.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Event, Process};
    ///
    /// let go = Event::new()?;
    /// let process = Process::spawn(|go: Event| go.wait(), go.clone())?;
    /// assert!(process.try_join().is_none());
    /// go.set();
    /// process.join()?;
    /// assert_eq!(process.try_join(), Some(Ok(())));
    /// # Ok(()) }
    /// ```
    pub fn try_join(&self) -> Option<std::result::Result<R, TaskError>> {
        self.join_timeout(Duration::ZERO)
    }

    /// Waits at most so long: as [`Process::try_join`] then.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use std::time::Duration;
    /// use procession::{Event, Process};
    ///
    /// let process = Process::spawn(|never: Event| never.wait(), Event::new()?)?;
    /// assert!(process.join_timeout(Duration::from_millis(10)).is_none());
    /// process.kill();
    /// # Ok(()) }
    /// ```
    pub fn join_timeout(&self, limit: Duration) -> Option<std::result::Result<R, TaskError>> {
        self.join_until(Instant::now().checked_add(limit)).unwrap_or_else(|error| Some(Err(error.into())))
    }

    fn join_until(&self, until: Option<Instant>) -> Result<Option<std::result::Result<R, TaskError>>> {
        let started = self.started();
        loop {
            if let Some(ending) = started.child.ending()? {
                return Ok(Some(self.judge(ending)));
            }
            let watched = [(started.child.as_fd().as_raw_fd(), Readiness::Read)];
            match wait_descriptors(&watched, until, None) {
                Ok(ready) if ready.is_empty() => return Ok(None),
                Err(error) if !error.is_interrupted() => return Err(error),
                _ => {}
            }
        }
    }

    fn judge(&self, ending: Ending) -> std::result::Result<R, TaskError> {
        let started = self.started();
        match started.progress()? {
            Progress::Returned => {
                let outcome = started.outcome()?;
                let value = function::receiving(self.files(), || function::decode_owned(outcome));
                value.map_err(TaskError::unreadable::<R>)
            }
            Progress::Failed => Err(Failure::decode(&started.outcome()?).into()),
            Progress::Started => Err(never_arrived(ending)),
            Progress::Arrived => Err(ending.into()),
        }
    }

    /// The descriptors of the result, kept for whoever asks again.
    fn files(&self) -> Vec<Arc<OwnedFd>> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        while let Ok(Some((_, more))) = receive_note_now(&self.started().notes) {
            files.extend(more.into_iter().map(Arc::new));
        }
        files.clone()
    }

    /// Its process id.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let process = procession::Process::spawn(|_: u8| std::process::id(), 0)?;
    /// assert_eq!(process.id(), process.join()?);
    /// # Ok(()) }
    /// ```
    pub fn id(&self) -> u32 {
        self.started().child.id()
    }

    /// How it ended; none while it runs.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// let process = procession::Process::spawn(|x: u8| x, 0)?;
    /// process.join()?;
    /// assert_eq!(process.exit_status().unwrap().code(), Some(0));
    /// # Ok(()) }
    /// ```
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.started().child.ending().ok().flatten().map(ExitStatus)
    }

    /// Ends it at once, with SIGKILL. Nothing happens when it has ended already.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Process, TaskError};
    ///
    /// let process = Process::spawn(|_: u8| -> () { loop { std::thread::park() } }, 0)?;
    /// process.kill();
    /// assert!(matches!(process.join(), Err(TaskError::Crashed { signal: 9, .. })));
    /// # Ok(()) }
    /// ```
    pub fn kill(&self) {
        self.started().child.kill();
    }

    /// Asks it to end, with SIGTERM.
    ///
    /// ```
    /// # fn main() -> procession::Result<()> {
    /// use procession::{Process, TaskError};
    ///
    /// let process = Process::spawn(|_: u8| -> () { loop { std::thread::park() } }, 0)?;
    /// process.terminate();
    /// assert!(matches!(process.join(), Err(TaskError::Crashed { signal: 15, .. })));
    /// # Ok(()) }
    /// ```
    pub fn terminate(&self) {
        self.started().child.terminate();
    }
}

impl<R> Source for Process<R> {
    fn is_ready(&self) -> Result<bool> {
        let started = self.started.as_ref().expect("there until dropped");
        Ok(started.child.ending()?.is_some())
    }

    fn watch(&self, _: &Arc<Alarm>) -> Result<Option<RawFd>> {
        Ok(self.started.as_ref().map(|started| started.child.as_fd().as_raw_fd()))
    }
}

/// A child that ended before it turned to its work.
pub(super) fn never_arrived(ending: Ending) -> TaskError {
    if let Ending::Killed(signal) = ending {
        return TaskError::Crashed { signal };
    }
    let why = TaskError::from(ending);
    let message = format!(
        "the child ended before it turned to its work ({why}); a program without the feature pre-main calls \
         procession::init() first thing in main"
    );
    TaskError::NoProcess { message }
}

fn wait_for_those_left() {
    let mut left = LEFT.lock();
    left.retain(|started| matches!(started.child.ending(), Ok(None)));
}

impl<R> Drop for Process<R> {
    fn drop(&mut self) {
        if let Some(started) = self.started.take()
            && let Ok(None) = started.child.ending()
        {
            LEFT.lock().push(started);
        }
    }
}
