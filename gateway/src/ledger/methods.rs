//! Macro: the methods of a ledger that stands before another one, in tests.

/// Writes methods that pass a call on to the ledger behind. `write` and `sure` go through `self.write(call)` and
/// `self.sure(call)`, where the call of a `write` may be made again; `read` asks a replica where `self.replica` has one;
/// `plain` goes straight on.
macro_rules! methods {
    () => {};
    (write $name:ident($($arg:ident: $ty:ty),*) -> $answer:ty; $($rest:tt)*) => {
        fn $name<'a>(&'a self, $($arg: $ty),*) -> Answer<'a, $answer> {
            self.write(move || self.behind.$name($($arg.clone()),*))
        }
        methods! { $($rest)* }
    };
    (sure $name:ident($($arg:ident: $ty:ty),*) -> $answer:ty; $($rest:tt)*) => {
        fn $name<'a>(&'a self, $($arg: $ty),*) -> Answer<'a, $answer> {
            self.sure(move || self.behind.$name($($arg),*))
        }
        methods! { $($rest)* }
    };
    (read $name:ident($($arg:ident: $ty:ty),*) -> $answer:ty; $($rest:tt)*) => {
        fn $name<'a>(&'a self, $($arg: $ty),*) -> Answer<'a, $answer> {
            match self.replica(Read::Deciding) {
                Some(replica) => Box::pin(async move { replica.$name($($arg),*).await }),
                None => self.behind.$name($($arg),*),
            }
        }
        methods! { $($rest)* }
    };
    (plain $name:ident($($arg:ident: $ty:ty),*) -> $answer:ty; $($rest:tt)*) => {
        fn $name<'a>(&'a self, $($arg: $ty),*) -> Answer<'a, $answer> {
            self.behind.$name($($arg),*)
        }
        methods! { $($rest)* }
    };
}

pub(super) use methods;
