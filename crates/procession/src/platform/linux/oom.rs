//! Which processes the system ends first when it has no memory left.

use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};

/// The highest score.
const MOST: i32 = 1000;
/// The digits of a score, a sign and the end of a line.
const SCORE_BYTES: usize = 16;

/// Makes this process more eligible, by `more` of 1000, to be ended when the system has no memory left. Where the system
/// does not tell or allow that, nothing changes.
pub fn offer_to_oom_killer(more: i32) {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let Ok(file) = rustix::fs::open("/proc/self/oom_score_adj", flags, Mode::empty()) else { return };
    if let Some(score) = score(&file) {
        let _ = rustix::io::pwrite(&file, score.saturating_add(more).min(MOST).to_string().as_bytes(), 0);
    }
}

fn score(file: &OwnedFd) -> Option<i32> {
    let mut text = [0; SCORE_BYTES];
    let size = rustix::io::read(file, &mut text).ok()?;
    std::str::from_utf8(&text[..size]).ok()?.trim().parse().ok()
}
