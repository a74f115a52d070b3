//! Items that run too long, or that nobody wants any more.

use std::time::Duration;

use super::{Driver, TIME_TO_DECODE, key};
use crate::channel::{Phase, Ticket};
use crate::pool::scheduler::JobId;

/// What to do about an item that runs too long, or that nobody wants any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdue {
    /// The worker's seat.
    pub index: usize,
    /// The job.
    pub job: JobId,
    /// The item.
    pub item: u64,
    /// Whether the worker was asked in vain, and is to be killed; else it is to be told to look whether it was asked.
    pub kill: bool,
}

impl Driver {
    /// What the worker of seat `index` runs just now, by its own words, with the ticket of the record.
    pub fn running(&self, index: usize) -> Option<(Ticket, JobId, u64)> {
        let ledger = self.seats.get(index)?.as_ref()?.ring.ledger()?;
        if !matches!(ledger.phase, Phase::Decoding | Phase::Running) {
            return None;
        }
        let ticket = key(ledger.ticket);
        self.scheduler.running(ticket, ledger.item).map(|(job, item)| (ticket, job, item))
    }

    /// The items that have run for longer than `limit` says of their job at the time `now`, of the clock
    /// [`platform::monotonic_now`]; and those whose worker was asked to give them up more than `grace` ago.
    ///
    /// A limit of zero is that of a job that nobody wants any more: its whole record is to be given up, and the time that
    /// it gets for that does not begin again with each item.
    pub fn overdue(
        &mut self,
        now: Duration,
        grace: Duration,
        limit: impl Fn(JobId, u64) -> Option<Duration>,
    ) -> Vec<Overdue> {
        let mut all = Vec::new();
        for (index, seat) in self.seats.iter_mut().enumerate() {
            let Some(seat) = seat else { continue };
            let Some(ledger) = seat.ring.ledger() else { continue };
            let held = key(ledger.ticket);
            let runs = matches!(ledger.phase, Phase::Running | Phase::Decoding);
            let Some((job, item)) = self.scheduler.running(held, ledger.item).filter(|_| runs) else {
                seat.asked = None;
                continue;
            };
            match seat.asked {
                Some((ticket, asked, since)) if (ticket, asked) == (held, ledger.item) => {
                    if now.saturating_sub(since) > grace {
                        all.push(Overdue { index, job, item, kill: true });
                    }
                }
                _ => {
                    let started = seat.ring.running_since();
                    let more = if ledger.phase == Phase::Decoding { TIME_TO_DECODE } else { Duration::ZERO };
                    let limit = limit(job, item);
                    let unwanted = limit.is_some_and(|limit| limit.is_zero());
                    let over = limit.is_some_and(|limit| unwanted || now.saturating_sub(started) >= limit + more);
                    // The time may be that of the item before: look again which one runs.
                    if over && seat.ring.ledger() == Some(ledger) {
                        let since = match seat.asked {
                            Some((ticket, _, since)) if unwanted && ticket == held => since,
                            _ => now,
                        };
                        match unwanted {
                            true => seat.ring.call_off(ledger.ticket),
                            false => seat.ring.interrupt(ledger.ticket, ledger.item),
                        }
                        seat.asked = Some((held, ledger.item, since));
                        let kill = now.saturating_sub(since) > grace;
                        all.push(Overdue { index, job, item, kill });
                    }
                }
            }
        }
        all
    }
}
