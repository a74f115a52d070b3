//! How an object is looked at before it becomes bytes: by name or by value, which reducer, what it consists of; and the pickler.

pub(crate) mod entries;
pub(crate) mod forms;
pub(crate) mod instances;
pub(crate) mod naming;
pub(crate) mod numeric;
pub(crate) mod numpy;
pub(crate) mod pickler;
pub(crate) mod rebuilt;
pub(crate) mod reducers;
pub(crate) mod small;
pub(crate) mod unsettled;
