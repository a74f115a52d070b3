//! Large rows of numbers that stay apart from the bytes of a value: whoever sends them copies them once, to where the receiver
//! reads them.
//!
//! Serde shows a format the bytes of a row and not who owns them. So an array offers its row beside that, and who writes the
//! neutral form takes it if it is the one that it is shown: every other format finds the bytes alone.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// What owns a row of numbers.
pub(super) trait Row: Send + Sync {
    /// The row's bytes, each number's first byte the lowest.
    fn bytes(&self) -> &[u8];
}

/// A row that travels beside the value that it belongs to.
#[derive(Clone)]
pub(crate) struct Part(Arc<dyn Row>);

impl Part {
    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.bytes().len()).finish()
    }
}

thread_local! {
    static OFFERED: RefCell<Option<Part>> = const { RefCell::new(None) };
}

/// Calls `serialize`, which shows a format the bytes of `row`.
pub(super) fn offering<T>(row: Arc<dyn Row>, serialize: impl FnOnce() -> T) -> T {
    let before = OFFERED.replace(Some(Part(row)));
    let answer = serialize();
    OFFERED.set(before);
    answer
}

/// The row that is offered, if these bytes are its own.
pub(super) fn offered(bytes: &[u8]) -> Option<Part> {
    OFFERED.with_borrow(|offered| offered.as_ref().filter(|part| std::ptr::eq(part.bytes(), bytes)).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_row_whose_bytes_are_shown_is_taken() {
        let row = Arc::new(vec![1u8, 2, 3]);
        let taken = offering(row.clone(), || (offered(&row), offered(&row[1..]), offered(&[1, 2, 3])));
        assert!(taken.0.is_some_and(|part| part.bytes() == [1, 2, 3]));
        assert!(taken.1.is_none() && taken.2.is_none() && offered(&row).is_none());
    }
}
