//! Records as a worker runs them: items are rebuilt, called, and counted.

use procession::pool::RecordHead;
use pyo3::exceptions::PyStopIteration;
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyRange};

use super::WorkerCore;
use crate::error::raised;
use crate::memory::place::NoShelf;
use crate::values::{self, Mode, Preamble};

/// The most plain items that are rebuilt at once.
const PLAIN_ROW: u32 = 256;

/// What the items that come next are given to, or why they cannot be, and the item with which another share begins.
struct Share {
    function: PyResult<Py<PyAny>>,
    end: u64,
}

impl WorkerCore {
    /// Has what is written go where the parent wants it.
    #[cold]
    #[inline(never)]
    fn speak(&mut self, py: Python<'_>, asked: (u32, u32, u32)) -> bool {
        self.worker.speaks(true);
        if let Err(error) = self.support.bind(py).call_method1("speak", asked) {
            error.write_unraisable(py, None);
        }
        true
    }

    /// Has what is written go where it went before.
    #[cold]
    #[inline(never)]
    fn hush(&mut self, py: Python<'_>) {
        if let Err(error) = self.support.bind(py).call_method0("hush") {
            error.write_unraisable(py, None);
        }
        self.worker.speaks(false);
    }

    /// Runs the items of a record, as many as are wanted.
    pub(super) fn record(&mut self, py: Python<'_>, head: RecordHead, left: &mut u64) -> PyResult<()> {
        // Before anything that could be interrupted.
        let speaks = match self.worker.asked_to_speak(head.job) {
            Some(asked) => self.speak(py, asked),
            None => false,
        };
        self.worker.decoding();
        self.unwanted = false;
        self.common.keep_of(head.job);
        if let Some(sent) = &mut self.sent {
            sent.keep_of(head.job);
        }
        let record = self.worker.take_body();
        let answer = self.items(py, head, body_of(&record), left);
        self.before = None;
        if speaks {
            self.hush(py);
        }
        self.worker.put_body(record);
        answer
    }

    fn items(&mut self, py: Python<'_>, head: RecordHead, mut body: &[u8], left: &mut u64) -> PyResult<()> {
        let preamble = Preamble::decode(&mut body)?;
        (self.sharing, self.record) = (preamble.sharing, (head.job, head.first));
        let is_call = preamble.mode == Mode::Apply;
        if self.current_is_call != is_call {
            self.current_is_call = is_call;
            self.current.bind(py).set_item(1, is_call)?;
        }
        let mut share =
            Share { function: self.function(py, &preamble, head.first), end: preamble.end_of_share(head.first) };
        self.reached = head.first;
        let mut done = 0;
        if let (Ok(_), Mode::Map, 1) = (&share.function, preamble.mode, head.chunk) {
            match self.plain_rows(py, &preamble, head, &mut body, left, &mut share)? {
                Some(count) => done = count,
                None => return self.worker.hand_back().map_err(raised),
            }
        }
        while done < head.count {
            let at = head.first + u64::from(done);
            if at >= share.end {
                self.worker.decoding();
                self.next_share(py, &preamble, at, &mut share);
            }
            // Items that share the function are as many as may make a group.
            if let (Ok(function), 1) = (&share.function, head.chunk) {
                let Ok(group) = self.group(py, head.count - done, &mut body) else {
                    return self.worker.undecodable().map_err(raised);
                };
                if let Some(items) = group {
                    if !self.run_group(py, function.bind(py), preamble.mode, head, &items, &mut done, left)? {
                        return self.worker.hand_back().map_err(raised);
                    }
                    continue;
                }
            }
            let size = head.chunk.min(head.count - done);
            let ran = match &share.function {
                Ok(function) => self.chunk(py, function.bind(py), preamble.mode, size, &mut body)?,
                Err(error) => {
                    for _ in 0..size {
                        self.failed(py, error.clone_ref(py))?;
                    }
                    true
                }
            };
            if !ran {
                return self.worker.undecodable().map_err(raised);
            }
            done += size;
            if self.unwanted || !self.goes_on(head, done, left) {
                return self.worker.hand_back().map_err(raised);
            }
        }
        self.worker.done().map_err(raised)
    }

    /// The function for the items from `at` on; that of those before is let go of first.
    fn next_share(&mut self, py: Python<'_>, preamble: &Preamble<'_>, at: u64, share: &mut Share) {
        drop(std::mem::replace(&mut share.function, Ok(py.None())));
        *share = Share { function: self.function(py, preamble, at), end: preamble.end_of_share(at) };
    }

    /// Runs the plain items that a record begins with, and says how many; none when the rest of it is to go back.
    fn plain_rows(
        &mut self,
        py: Python<'_>,
        preamble: &Preamble<'_>,
        head: RecordHead,
        body: &mut &[u8],
        left: &mut u64,
        share: &mut Share,
    ) -> PyResult<Option<u32>> {
        let range = values::decode_range(body)?;
        let mut done = 0;
        while done < head.count {
            let at = head.first + u64::from(done);
            if at >= share.end {
                self.next_share(py, preamble, at, share);
            }
            let most = (share.end - at).min(*left).min(PLAIN_ROW.into()).min((head.count - done).into()) as u32;
            let (row, count) = match range {
                Some((first, step)) => (part_of(py, first, step, done, most)?, most),
                None => plain_items(py, body, most, &mut self.before)?,
            };
            if count == 0 {
                break;
            }
            let last = done + count == head.count;
            let (ran, on) = match &share.function {
                Ok(function) => self.plain_row(py, function.bind(py), &row, count, last, None)?,
                Err(error) => {
                    for _ in 0..count {
                        self.failed(py, error.clone_ref(py))?;
                    }
                    (count, true)
                }
            };
            if !self.row_goes_on(head, ran, on, &mut done, left) {
                return Ok(None);
            }
        }
        Ok(Some(done))
    }

    /// Counts a chunk that has run, the `done`th item its last; false when the rest of the record is to go back.
    pub(super) fn goes_on(&mut self, head: RecordHead, done: u32, left: &mut u64) -> bool {
        *left = left.saturating_sub(1);
        self.reached = head.first + u64::from(done);
        if done == head.count {
            return true;
        }
        let slow = self.worker.between();
        !(*left == 0 || (slow && head.splittable) || self.unwanted || self.worker.is_heavy())
    }

    /// Counts the items of a row, of which `ran` have run; false when the rest of the record is to go back, which `on` says, too.
    fn row_goes_on(&mut self, head: RecordHead, ran: u32, on: bool, done: &mut u32, left: &mut u64) -> bool {
        *done += ran;
        self.reached = head.first + u64::from(*done);
        *left = left.saturating_sub(ran.into());
        *done == head.count || on && *left > 0
    }

    /// The items that come next in a record, if they were pickled as one.
    pub(super) fn group<'py>(
        &mut self,
        py: Python<'py>,
        most: u32,
        body: &mut &[u8],
    ) -> PyResult<Option<Bound<'py, PyList>>> {
        if values::is_group(body) {
            self.worker.decoding();
        }
        values::decode_group(py, body, most, &self.shelf())
    }

    /// Runs the items of a group; false when the rest of the record is to go back.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn run_group(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        head: RecordHead,
        items: &Bound<'_, PyList>,
        done: &mut u32,
        left: &mut u64,
    ) -> PyResult<bool> {
        if mode == Mode::Map {
            let count = (items.len() as u64).min(*left) as u32;
            let last = *done + count == head.count;
            let (ran, on) = self.plain_row(py, function, items.as_any(), count, last, Some(items))?;
            return Ok(self.row_goes_on(head, ran, on, done, left));
        }
        for index in 0..items.len() {
            self.item(py, function, mode, Ok(taken_out(items, index)?), false)?;
            *done += 1;
            if !self.goes_on(head, *done, left) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Runs the items of a chunk; false, and nothing run, when several items cannot be rebuilt together.
    pub(super) fn chunk(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        size: u32,
        body: &mut &[u8],
    ) -> PyResult<bool> {
        if size > 1 && body.first() == Some(&values::TOGETHER) {
            *body = &body[1..];
            self.worker.decoding();
            let values = match values::decode(py, body, &self.shelf()).and_then(|list| Ok(list.cast_into::<PyList>()?))
            {
                Ok(values) => values,
                Err(_) => return Ok(false),
            };
            for index in 0..size as usize {
                self.item(py, function, mode, Ok(taken_out(&values, index)?), index + 1 < size as usize)?;
                if self.unwanted {
                    break;
                }
            }
            return Ok(true);
        }
        self.one_by_one(py, function, mode, size, body)?;
        Ok(true)
    }

    /// Rebuilds and runs items that stand one after the other.
    pub(super) fn one_by_one(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        size: u32,
        body: &mut &[u8],
    ) -> PyResult<()> {
        for index in 0..size {
            let mut bytes = values::skip(body)?;
            if !values::is_simple(bytes) {
                self.worker.decoding();
            }
            let shelf = self.shelf();
            shelf.common.comes(self.reached + u64::from(index));
            let value = values::decode_item(py, &mut bytes, &mut self.before, &shelf);
            self.worker.excuse(self.common.spent());
            self.item(py, function, mode, value, index + 1 < size)?;
            if self.unwanted {
                break;
            }
        }
        Ok(())
    }

    /// Runs many items: the interpreter's own `map` calls without a tuple of arguments for each. False when the rest of the
    /// record should go back; `done` counts the items. What has run is taken out of `held`, so that those that wait do not keep it.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn plain_row(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        row: &Bound<'_, PyAny>,
        count: u32,
        last: bool,
        held: Option<&Bound<'_, PyList>>,
    ) -> PyResult<(u32, bool)> {
        let mut results = self.map.bind(py).call1((function, row))?.cast_into::<PyIterator>()?;
        for done in 1..=count {
            self.worker.running();
            if self.worker.is_shown()
                && let Ok(item) = row.get_item(done as usize - 1)
            {
                self.show(Mode::Map, &item);
            }
            let answer = match &self.around {
                None => results.next(),
                Some((begin, end)) => {
                    let begun = begin.call0(py);
                    let answer = results.next();
                    match begun.and_then(|_| end.call0(py)) {
                        Ok(_) => answer,
                        Err(error) => Some(Err(error)),
                    }
                }
            };
            self.worker.sending();
            if let Some(items) = held {
                items.set_item(done as usize - 1, py.None())?;
            }
            match answer {
                Some(Ok(result)) => self.returned(&result)?,
                Some(Err(error)) => self.failed(py, error)?,
                // The iterator took what the function raised for its own end.
                None => self.failed(py, PyStopIteration::new_err(()))?,
            }
            if (done < count || !last) && (self.worker.between() || self.unwanted || self.worker.is_heavy()) {
                return Ok((done, false));
            }
        }
        Ok((count, true))
    }

    #[inline]
    pub(super) fn item(
        &mut self,
        py: Python<'_>,
        function: &Bound<'_, PyAny>,
        mode: Mode,
        value: PyResult<Bound<'_, PyAny>>,
        more: bool,
    ) -> PyResult<()> {
        self.worker.running();
        if self.worker.is_shown()
            && let Ok(value) = &value
        {
            self.show(mode, value);
        }
        let answer = match &self.around {
            None => value.and_then(|value| values::call(function, mode, value)),
            Some((begin, end)) => {
                let begun = begin.call0(py);
                let answer = begun.and(value).and_then(|value| values::call(function, mode, value));
                end.call0(py).and(answer)
            }
        };
        self.worker.sending();
        match answer {
            Ok(result) => self.returned(&result)?,
            Err(error) => self.failed(py, error)?,
        }
        if more {
            self.worker.between();
        }
        Ok(())
    }

    /// Shows what an item is given, as far as that takes no code but ours.
    #[cold]
    pub(super) fn show(&self, mode: Mode, item: &Bound<'_, PyAny>) {
        let kind = match mode {
            Mode::Apply => "apply",
            Mode::Map => "map",
            Mode::Star => "starmap",
        };
        let py = item.py();
        let text = self.support.bind(py).call_method1("arguments", (kind, item));
        if let Ok(text) = text.and_then(|text| text.extract::<String>()) {
            self.worker.show(&text);
        }
    }
}

/// The numbers of a record from its item `done` on.
fn part_of<'py>(py: Python<'py>, first: i64, step: i64, done: u32, count: u32) -> PyResult<Bound<'py, PyAny>> {
    let number = |index: i64| first.wrapping_add(step.wrapping_mul(index)) as isize;
    let (from, to) = (number(done.into()), number(i64::from(done) + i64::from(count)));
    Ok(PyRange::new_with_step(py, from, to, step as isize)?.into_any())
}

/// The next items that are plain, at most `most`, and how many they are.
fn plain_items<'py>(
    py: Python<'py>,
    body: &mut &[u8],
    most: u32,
    before: &mut Option<Py<PyAny>>,
) -> PyResult<(Bound<'py, PyAny>, u32)> {
    let mut values = Vec::new();
    while values.len() < most as usize && values::is_simple(body) {
        values.push(values::decode_item(py, body, before, &NoShelf)?);
    }
    let count = values.len() as u32;
    Ok((PyList::new(py, values)?.into_any(), count))
}

fn body_of(record: &[u8]) -> &[u8] {
    RecordHead::decode(record).map_or(&[], |(_, body)| body)
}

/// An item of a list, which lets go of it: what has run is not kept by those that wait.
fn taken_out<'py>(items: &Bound<'py, PyList>, index: usize) -> PyResult<Bound<'py, PyAny>> {
    let value = items.get_item(index)?;
    items.set_item(index, items.py().None())?;
    Ok(value)
}
