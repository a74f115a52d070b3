//! Workers that have ended: what they had, and what becomes of it.

use procession::pool::{Death, timeline};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::Inner;

impl Inner {
    pub(super) fn bury(&self, py: Python<'_>, death: &Death) -> PyResult<()> {
        let support = self.support.bind(py);
        let text = support.call_method1("worker_ended", (death.index, death.starting, death.expected, death.idle));
        let (text, mut interrupt) = match text {
            Ok(text) => (text, None),
            Err(error) => (PyString::new(py, "its worker ended").into_any(), Some(error)),
        };
        let heavy = {
            let mut shared = self.shared();
            shared.tally.deaths += u64::from(!death.expected);
            if !death.expected {
                self.counts.died();
            }
            shared.heavy.remove(&death.index)
        };
        let mut trash = Vec::new();
        for lost in &death.lost {
            let Some(job) = self.shared().jobs.get(&lost.job).cloned() else { continue };
            if timeline::recording() != 0 {
                self.counts.explain(lost.job, lost.item, &text.str().map_or_else(|_| String::new(), |t| t.to_string()));
            }
            if heavy.is_some_and(|heavy| (heavy.job, heavy.item) != (lost.job, lost.item)) {
                // The guilty one had just ended: this one is innocent.
                self.shared().driver.scheduler.again(lost.job, lost.item);
                continue;
            }
            let expired = self.shared().expired.contains_key(&(lost.job, lost.item));
            if !expired && job.tries_again(lost.item, true) {
                let mut shared = self.shared();
                shared.driver.scheduler.again(lost.job, lost.item);
                shared.tally.retried += 1;
                self.retried(&job);
                continue;
            }
            let bytes = heavy.map(|heavy| heavy.bytes);
            let failure = match support.call_method1("lost", (&text, job.describe(py, lost.item), bytes)) {
                Ok(failure) => failure.unbind(),
                Err(error) => {
                    let failure = error.value(py).clone().into_any().unbind();
                    interrupt = Some(error);
                    failure
                }
            };
            let Some(failure) = self.verdict(py, &job, lost.item, failure, &mut interrupt) else { continue };
            self.shared().tally.failed += 1;
            self.failed(&job);
            let answer = job.answer_to(py, lost.item, failure, &mut interrupt);
            if job.store(py, lost.item, answer, &mut trash) {
                self.finish(py, &job);
            }
        }
        self.wake_followers();
        interrupt.map_or(Ok(()), Err)
    }
}
