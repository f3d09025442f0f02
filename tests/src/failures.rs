//! What a test failed with, so that it can be said again below the logs that are printed for it: a shortened output
//! keeps its end.

use std::{
    cell::RefCell,
    panic::{set_hook, take_hook},
    sync::Once,
};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on the message of each panic is kept for the thread that it happens in.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |panic| {
            LAST.set(Some(panic.to_string()));
            before(panic);
        }));
    });
}

/// The message of this thread's last panic, with its place.
pub(crate) fn last() -> Option<String> {
    LAST.with_borrow(Clone::clone)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_message_of_a_panic_is_kept_with_its_place() {
        super::keep();
        super::keep();
        assert_eq!(super::last(), None);
        std::panic::catch_unwind(|| panic!("two of three")).unwrap_err();
        let last = super::last().unwrap();
        assert!(last.contains("two of three") && last.contains("failures.rs"), "{last}");
    }
}
