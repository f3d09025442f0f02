//! The generated code in `src/wire` is what the `.proto` files say. `LONGHAUL_REGENERATE=1` writes it anew.

use std::{fs, path::Path};

#[test]
fn generated_code_is_fresh() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = ["run", "agent", "fleet"].map(|n| format!("longhaul/v1/{n}.proto"));
    let files = protox::compile(names, [root]).expect("the .proto files compile");
    let out = tempfile::tempdir().expect("a temp folder");
    tonic_prost_build::configure()
        .out_dir(out.path())
        .compile_well_known_types(false)
        .bytes(".longhaul.v1.Chunk.data")
        .bytes(".longhaul.v1.BlobPart.data")
        .bytes(".longhaul.v1.DataPart.bytes")
        .compile_fds(files)
        .expect("code is generated");
    let fresh = fs::read_to_string(out.path().join("longhaul.v1.rs")).expect("one generated file");
    let kept = root.join("src/wire/longhaul.v1.rs");
    if std::env::var_os("LONGHAUL_REGENERATE").is_some() {
        fs::write(&kept, &fresh).expect("the checked-in file is writable");
    }
    let have = fs::read_to_string(&kept).unwrap_or_default();
    assert!(have == fresh, "stale: run LONGHAUL_REGENERATE=1 cargo test -p longhaul-proto --test wire");
}
