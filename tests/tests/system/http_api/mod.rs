//! The HTTP API as its clients see it: what it says of itself, lists, searches, and the stream over all runs.

mod by_command;
mod described;
mod events;
mod fuzzed;
mod lists;
mod search;
