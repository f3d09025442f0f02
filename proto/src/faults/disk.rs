//! The steps that this thread took on the file system, recorded for a test.

use std::cell::RefCell;

use super::Op;

thread_local! {
    static DONE: RefCell<Option<Vec<Op>>> = const { RefCell::new(None) };
}

/// Reports a step to a test.
pub fn did(op: impl FnOnce() -> Op) {
    DONE.with_borrow_mut(|done| {
        if let Some(done) = done {
            done.push(op());
        }
    });
}

/// The steps of `work`, in order.
pub fn recorded<T>(work: impl FnOnce() -> T) -> (T, Vec<Op>) {
    DONE.with_borrow_mut(|done| *done = Some(Vec::new()));
    let result = work();
    (result, DONE.with_borrow_mut(Option::take).unwrap_or_default())
}
