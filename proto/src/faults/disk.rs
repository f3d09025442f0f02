//! What was done to the file system in this thread, while a test listens.

use std::cell::RefCell;

use super::Op;

thread_local! {
    static DONE: RefCell<Option<Vec<Op>>> = const { RefCell::new(None) };
}

/// Tells a test what was done.
pub fn did(op: impl FnOnce() -> Op) {
    DONE.with_borrow_mut(|done| {
        if let Some(done) = done {
            done.push(op());
        }
    });
}

/// What `work` did, in its order.
pub fn recorded<T>(work: impl FnOnce() -> T) -> (T, Vec<Op>) {
    DONE.with_borrow_mut(|done| *done = Some(Vec::new()));
    let result = work();
    (result, DONE.with_borrow_mut(Option::take).unwrap_or_default())
}
