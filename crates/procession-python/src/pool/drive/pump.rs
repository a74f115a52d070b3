//! One look at what came in, and what follows from it.

use procession::platform::coarse_now;
use pyo3::prelude::*;

use super::{Inner, LOOK_FOR_DEATHS, Shared};

impl Shared {
    /// Whether there may be items to interrupt.
    pub(super) fn may_interrupt(&self) -> bool {
        !self.limits.is_empty() || !self.called_off.is_empty()
    }

    /// Whether there may be something to publish.
    fn may_feed(&self) -> bool {
        !self.lazy.is_empty() || self.driver.scheduler.is_waited_for()
    }
}

impl Inner {
    /// Looks once at what came in and publishes what is next, if nobody else is about to.
    pub(crate) fn look(&self, py: Python<'_>) -> PyResult<()> {
        if let Some(_duty) = self.take_duty() {
            self.pump(py)?;
        }
        Ok(())
    }

    /// Reads what came in, hands it to the jobs, publishes what is next; says whether anything came in.
    ///
    /// A call that waits comes here twice, so there is no lock that is not needed.
    pub(super) fn pump(&self, py: Python<'_>) -> PyResult<bool> {
        let (batch, looks, noted, interrupts, mut feeds) = {
            let mut shared = self.shared();
            let mut batch = shared.batches.pop().unwrap_or_default();
            shared.driver.read(&mut batch);
            let now = coarse_now();
            let looks = now.saturating_sub(shared.looked) >= LOOK_FOR_DEATHS;
            if looks {
                shared.looked = now;
                shared.driver.look_for_deaths(&mut batch);
            }
            let notes = shared.driver.notes();
            let noted = notes != std::mem::replace(&mut shared.notes, notes);
            let batch = if batch.is_empty() {
                shared.batches.push(batch);
                None
            } else {
                Some(batch)
            };
            (batch, looks, noted, shared.may_interrupt(), shared.may_feed())
        };
        // The log records of a task come before its result.
        let heard = if noted { self.hear(py) } else { Ok(()) };
        // The batch that was read has to be delivered, whatever a signal handler raises in between.
        let interrupted = if interrupts { self.interrupt_overdue(py) } else { Ok(()) };
        let progress = batch.is_some();
        let mut answer = Ok(());
        if let Some(mut batch) = batch {
            let delivered = self.deliver(py, &batch);
            batch.clear();
            let mut shared = self.shared();
            shared.batches.push(batch);
            shared.tally.done += delivered.done;
            shared.tally.failed += delivered.failed;
            feeds = shared.may_feed();
            answer = delivered.answer;
        }
        answer?;
        interrupted?;
        heard?;
        if looks {
            self.watch(py)?;
        }
        // What the calls above have handed in was published by them.
        if feeds {
            self.feed(py)?;
        }
        Ok(progress)
    }
}
