//! Many tasks of which some end badly, in all ways: every outcome is right, and nothing is left.
//!
//! `PROCESSION_CAMPAIGN=10000 cargo test --release campaign` runs so many tasks; a few hundred otherwise.

use super::METHOD;

#[path = "../../examples/campaign/tasks.rs"]
mod tasks;

#[test]
fn every_outcome_is_right_and_nothing_is_left() {
    let count = std::env::var("PROCESSION_CAMPAIGN").ok().and_then(|text| text.parse().ok()).unwrap_or(700);
    assert_eq!(tasks::run(METHOD, count), Ok(tasks::Left::default()));
}
