//! What a person sees on a terminal: screens, as a terminal shows them.

mod again;
mod following;
mod listing;
mod terminal;

use std::path::Path;

/// Holds a screen against the file of this name; `LONGHAUL_REGENERATE=1` writes it.
#[track_caller]
fn golden(name: &str, found: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/screen/golden").join(name);
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        std::fs::write(&file, found).unwrap();
    }
    let want = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(found, want, "{}", file.display());
}
