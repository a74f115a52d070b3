//! The room `channel` for Python: one end of a pipe, and the wait for several descriptors.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use procession::Result;
use procession::channel::{Eagerness, Receiving, Sending, receive_body};
use procession::platform::{Readiness, SignalGuard, Stream, wait_descriptors};
use pyo3::exceptions::{PyMemoryError, PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PySlice};

use crate::error::raised;
use crate::memory::buffer::with_bytes_of;
use crate::shared::message::{LOOK_FROM, MessageParts, PREFIX, bytes_within, is_end};
use crate::shared::pickle::unpickled;
use crate::wait::{deadline, is_green, wait_green};

/// The longest sleep: a signal that another thread of the process took does not end it.
const SLICE: Duration = Duration::from_secs(1);

/// Memory for a message is taken when at least an eighth of it has arrived, or when it is no more than this: a length
/// alone, which any garbage can be, costs little.
const TAKEN_ON_TRUST: usize = 64 << 20;
const TRUST: usize = 8;
/// Pickles of so many bytes are received in memory that is kept: fresh memory costs more, page by page, than what comes is
/// worth, and the C library gives so much back at once.
const KEPT_FROM: usize = 64 << 10;
const KEPT_MOST: usize = 4 << 20;

/// One end of a pipe, for messages of bytes.
#[pyclass(frozen, subclass, module = "procession._procession")]
pub(crate) struct Connection {
    /// The descriptor's number, -1 when closed.
    handle: AtomicI32,
    readable: AtomicBool,
    writable: AtomicBool,
    stream: Mutex<Option<Stream>>,
    eager: Mutex<Eagerness>,
    /// The memory that pickles are received in; taken while somebody receives one.
    kept: Mutex<Option<Py<PyByteArray>>>,
}

/// Sleeps until `files` are ready; none when `until` comes first. Signal handlers run meanwhile.
///
/// Who only looks keeps the interpreter: what is asked right before, such as an event of the process in question, is of the
/// same moment.
fn sleep(py: Python<'_>, files: &[(i32, Readiness)], until: Option<Instant>) -> PyResult<Vec<usize>> {
    if until.is_some_and(|until| until <= Instant::now()) {
        py.check_signals()?;
        match wait_descriptors(files, until, None) {
            Err(e) if e.is_interrupted() => {}
            answer => return answer.map_err(raised),
        }
    }
    if is_green(py) {
        return wait_green(py, files, until);
    }
    loop {
        // Signals that came before are seen to here, those that come from now on end the sleep.
        let guard = SignalGuard::block_all();
        py.check_signals()?;
        let slice = Instant::now() + SLICE;
        let end = until.map_or(slice, |until| until.min(slice));
        let answer = py.detach(|| wait_descriptors(files, Some(end), Some(&guard)));
        drop(guard);
        match answer {
            Ok(ready) if ready.is_empty() && until.is_none_or(|until| Instant::now() < until) => {}
            Ok(ready) => return Ok(ready),
            Err(e) if e.is_interrupted() => {}
            Err(e) => return Err(raised(e)),
        }
    }
}

impl Connection {
    fn stream(&self) -> PyResult<Stream> {
        match self.handle.load(Ordering::Relaxed) {
            ..0 => Err(PyOSError::new_err("handle is closed")),
            _ => Ok((*self.stream.lock().unwrap_or_else(|e| e.into_inner())).expect("an open connection has a stream")),
        }
    }

    fn check_readable(&self) -> PyResult<Stream> {
        let stream = self.stream()?;
        if !self.readable.load(Ordering::Relaxed) {
            return Err(PyOSError::new_err("connection is write-only"));
        }
        Ok(stream)
    }

    fn check_writable(&self) -> PyResult<Stream> {
        let stream = self.stream()?;
        if !self.writable.load(Ordering::Relaxed) {
            return Err(PyOSError::new_err("connection is read-only"));
        }
        Ok(stream)
    }

    /// Calls `step` until it has an answer; between two calls the stream becomes ready for `what`.
    fn until_ready<T: Send>(
        &self,
        py: Python<'_>,
        stream: Stream,
        what: Readiness,
        mut step: impl FnMut() -> Result<Option<T>> + Send,
    ) -> PyResult<Result<T>> {
        // What is ready at once needs no other thread to run meanwhile.
        let mut answer = step();
        loop {
            match answer {
                Ok(Some(value)) => return Ok(Ok(value)),
                Err(e) if !e.is_interrupted() => return Ok(Err(e)),
                _ => {}
            }
            let polled = py.detach(|| match self.eager.try_lock() {
                Ok(mut eager) => poll(&mut eager, &mut step),
                Err(TryLockError::Poisoned(eager)) => poll(&mut eager.into_inner(), &mut step),
                Err(TryLockError::WouldBlock) => step(),
            });
            if !matches!(polled, Ok(None)) {
                answer = polled;
                continue;
            }
            sleep(py, &[(stream.number(), what)], None)?;
            answer = py.detach(&mut step);
        }
    }

    /// Receives so much of a long message, which begins so, that its length can be believed.
    fn receive_start(&self, py: Python<'_>, stream: Stream, beginning: &[u8], size: usize) -> PyResult<Vec<u8>> {
        let mut start = beginning.to_vec();
        let mut trusted = TAKEN_ON_TRUST;
        while trusted < size {
            let got = start.len();
            let room = start.try_reserve_exact(trusted - got);
            room.map_err(|_| PyMemoryError::new_err(format!("no memory for a message of {size} bytes")))?;
            start.resize(trusted, 0);
            self.receive_into(py, stream, &mut start, got)?;
            trusted = trusted.saturating_mul(TRUST);
        }
        Ok(start)
    }

    fn receive_size(&self, py: Python<'_>, stream: Stream) -> PyResult<u64> {
        let mut receiving = Receiving::default();
        self.until_ready(py, stream, Readiness::Read, || receiving.step(stream))?.map_err(raised)
    }

    /// The message of `size` bytes that begins so.
    fn receive_rest<'py>(
        &self,
        py: Python<'py>,
        stream: Stream,
        beginning: &[u8],
        size: u64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let size = usize::try_from(size).map_err(|_| PyOSError::new_err("the message is larger than memory"))?;
        let start = self.receive_start(py, stream, beginning, size)?;
        PyBytes::new_with(py, size, |into| {
            into[..start.len()].copy_from_slice(&start);
            self.receive_into(py, stream, into, start.len())
        })
    }

    fn kept(&self) -> MutexGuard<'_, Option<Py<PyByteArray>>> {
        self.kept.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn recv_kept<'py>(
        &self,
        py: Python<'py>,
        stream: Stream,
        beginning: &[u8],
        size: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        // Taken out: what is unpickled may receive from the same connection, as may other threads.
        let kept = self.kept().take();
        let room = match kept.map(|kept| kept.into_bound(py)).filter(|kept| kept.len() >= size) {
            Some(room) => room,
            None => PyByteArray::new_with(py, size.next_power_of_two(), |_| Ok(()))?,
        };
        let received = with_bytes_of(&room, |into| {
            into[..beginning.len()].copy_from_slice(beginning);
            self.receive_into(py, stream, &mut into[..size], beginning.len())
        });
        received.expect("it was made here, and given to nobody")?;
        let view = PyMemoryView::from(&room)?;
        let part = view.get_item(PySlice::new(py, 0, size as isize, 1))?;
        let object = unpickled(&part);
        // Who still looked at it, if that can be, would see the next message.
        if part.call_method0("release").and_then(|_| view.call_method0("release")).is_ok() {
            *self.kept() = Some(room.unbind());
        }
        object
    }

    fn receive_into(&self, py: Python<'_>, stream: Stream, into: &mut [u8], mut got: usize) -> PyResult<()> {
        self.until_ready(py, stream, Readiness::Read, || Ok(receive_body(stream, into, &mut got)?.then_some(())))?
            .map_err(raised)
    }

    /// Receives an object whose message is looked at first: `bytes` come to where they stay.
    fn recv_looking<'py>(&self, py: Python<'py>, stream: Stream, size: usize) -> PyResult<Bound<'py, PyAny>> {
        let mut beginning = [0; PREFIX];
        self.receive_into(py, stream, &mut beginning, 0)?;
        let Some((start, count)) = bytes_within(&beginning, size).filter(|_| size <= TAKEN_ON_TRUST) else {
            return self.recv_rest(py, stream, &beginning, size);
        };
        let bytes = PyBytes::new_with(py, count, |into| {
            let here = PREFIX - start;
            into[..here].copy_from_slice(&beginning[start..]);
            self.receive_into(py, stream, into, here)
        })?;
        let mut tail = [0; 2];
        let tail = &mut tail[..size - start - count];
        self.receive_into(py, stream, tail, 0)?;
        if is_end(tail) {
            return Ok(bytes.into_any());
        }
        let whole = [&beginning[..start], bytes.as_bytes(), tail].concat();
        unpickled(PyBytes::new(py, &whole).as_any())
    }

    /// Receives an object of whose message this is the beginning.
    fn recv_rest<'py>(
        &self,
        py: Python<'py>,
        stream: Stream,
        beginning: &[u8],
        size: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        match size {
            KEPT_FROM..=KEPT_MOST => self.recv_kept(py, stream, beginning, size),
            _ => unpickled(self.receive_rest(py, stream, beginning, size as u64)?.as_any()),
        }
    }

    fn send_slice(&self, py: Python<'_>, stream: Stream, message: &[u8]) -> PyResult<()> {
        self.send_parts(py, stream, [message, &[], &[]])
    }

    fn send_parts(&self, py: Python<'_>, stream: Stream, message: [&[u8]; 3]) -> PyResult<()> {
        let mut sending = Sending::new(message.iter().map(|part| part.len()).sum());
        self.until_ready(py, stream, Readiness::Write, || Ok(sending.step(stream, message)?.then_some(())))?
            .map_err(raised)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

fn poll<T>(eager: &mut Eagerness, step: &mut impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let mut answer = Ok(None);
    eager.look(|| {
        answer = step();
        !matches!(answer, Ok(None))
    });
    answer
}

/// The bytes of any buffer, copied only when they are not a bytes object already.
fn bytes_of<'py>(buffer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Ok(bytes) = buffer.cast::<PyBytes>() {
        return Ok(bytes.clone());
    }
    let copy = PyMemoryView::from(buffer)?.call_method0("tobytes")?;
    copy.cast_into::<PyBytes>().map_err(Into::into)
}

#[pymethods]
impl Connection {
    #[new]
    #[pyo3(signature = (handle, readable=true, writable=true))]
    fn new(handle: &Bound<'_, PyAny>, readable: bool, writable: bool) -> PyResult<Connection> {
        let handle: i32 = handle.call_method0("__index__")?.extract()?;
        if handle < 0 {
            return Err(PyValueError::new_err("invalid handle"));
        }
        if !readable && !writable {
            return Err(PyValueError::new_err("at least one of `readable` and `writable` must be True"));
        }
        Ok(Connection {
            handle: handle.into(),
            readable: readable.into(),
            writable: writable.into(),
            stream: Mutex::new(Some(Stream::new(handle))),
            eager: Mutex::default(),
            kept: Mutex::default(),
        })
    }

    /// The descriptor's number, None when closed.
    #[getter(_handle)]
    fn get_handle(&self) -> Option<i32> {
        Some(self.handle.load(Ordering::Relaxed)).filter(|&h| h >= 0)
    }

    #[setter(_handle)]
    fn set_handle(&self, handle: Option<i32>) {
        let handle = handle.unwrap_or(-1);
        self.handle.store(handle, Ordering::Relaxed);
        *self.stream.lock().unwrap_or_else(|e| e.into_inner()) = (handle >= 0).then(|| Stream::new(handle));
    }

    /// Whether the connection is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.handle.load(Ordering::Relaxed) < 0
    }

    /// Whether messages can be received.
    #[getter]
    fn readable(&self) -> bool {
        self.readable.load(Ordering::Relaxed)
    }

    /// Whether messages can be sent.
    #[getter]
    fn writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// Return the descriptor's number.
    fn fileno(&self) -> PyResult<i32> {
        Ok(self.stream()?.number())
    }

    /// Close the connection; closing twice does nothing.
    fn close(&self) -> PyResult<()> {
        let handle = self.handle.swap(-1, Ordering::Relaxed);
        *self.kept() = None;
        if handle >= 0 {
            drop(procession::platform::adopt(handle).map_err(raised)?);
        }
        Ok(())
    }

    /// Send the bytes of a buffer as one message: `size` from byte `offset` on, None for all behind that; waits while the pipe
    /// is full.
    ///
    /// Raises ValueError for what lies outside of the buffer.
    #[pyo3(signature = (buf, offset=0, size=None))]
    fn send_bytes(&self, py: Python<'_>, buf: &Bound<'_, PyAny>, offset: isize, size: Option<isize>) -> PyResult<()> {
        let stream = self.check_writable()?;
        let bytes = bytes_of(buf)?;
        let bytes = bytes.as_bytes();
        let offset = usize::try_from(offset).map_err(|_| PyValueError::new_err("the offset is negative"))?;
        let rest = bytes.get(offset..).ok_or_else(|| PyValueError::new_err("the offset lies behind the buffer"))?;
        let part = match size {
            None => rest,
            Some(size) => {
                let size = usize::try_from(size).map_err(|_| PyValueError::new_err("the size is negative"))?;
                rest.get(..size).ok_or_else(|| PyValueError::new_err("the buffer is shorter than offset + size"))?
            }
        };
        self.send_slice(py, stream, part)
    }

    /// Send an object; waits while the pipe is full.
    ///
    /// Raises PicklingError, TypeError or AttributeError for what cannot be pickled; nothing is sent then.
    fn send(&self, py: Python<'_>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        let stream = self.check_writable()?;
        self.send_parts(py, stream, MessageParts::of(obj)?.slices())
    }

    /// Receive an object, waiting for it.
    ///
    /// Raises EOFError when the other side is closed and nothing is left, and what unpickling the object raises.
    fn recv<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stream = self.check_readable()?;
        let size = self.receive_size(py, stream)?;
        match usize::try_from(size) {
            Ok(size @ LOOK_FROM..) => self.recv_looking(py, stream, size),
            _ => unpickled(self.receive_rest(py, stream, &[], size)?.as_any()),
        }
    }

    /// Receive a message as bytes; None when it is longer than `most`, which is left unread.
    #[pyo3(signature = (most=None))]
    fn _receive<'py>(&self, py: Python<'py>, most: Option<u64>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let stream = self.check_readable()?;
        let size = self.receive_size(py, stream)?;
        if most.is_some_and(|most| size > most) {
            return Ok(None);
        }
        self.receive_rest(py, stream, &[], size).map(Some)
    }

    /// Whether there is something to receive, waiting `timeout` seconds for it; None is no limit.
    #[pyo3(signature = (timeout=None))]
    fn _poll(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let stream = self.check_readable()?;
        let until = deadline(timeout)?;
        Ok(!sleep(py, &[(stream.number(), Readiness::Read)], until)?.is_empty())
    }

    /// Give up reading after a message that is too long.
    fn _stop_reading(&self) -> PyResult<()> {
        if self.writable() {
            self.readable.store(false, Ordering::Relaxed);
            Ok(())
        } else {
            self.close()
        }
    }
}

/// The places of those of `descriptors` that are readable, waiting `timeout` seconds for the first; None is no limit.
#[pyfunction]
#[pyo3(signature = (descriptors, timeout=None))]
fn wait_readable(py: Python<'_>, descriptors: Vec<i32>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<usize>> {
    let until = deadline(timeout)?;
    let files: Vec<(i32, Readiness)> = descriptors.into_iter().map(|fd| (fd, Readiness::Read)).collect();
    sleep(py, &files, until)
}

/// Whether the threads of this program are green: gevent or eventlet has replaced them.
#[pyfunction]
fn has_green_threads(py: Python<'_>) -> bool {
    is_green(py)
}

/// Adds the room's class and functions.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Connection>()?;
    module.add_function(wrap_pyfunction!(wait_readable, module)?)?;
    module.add_function(wrap_pyfunction!(has_green_threads, module)?)
}
