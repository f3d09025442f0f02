//! The bill of materials says what is compiled into the program, and nothing else.

use std::{collections::HashSet, path::Path, process::Command};

use longhaul_tests::need;
use serde_json::Value;

#[test]
fn the_bill_of_materials_has_each_crate_with_licence_and_digest() {
    let Some(python) = need::python_sdk() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(python).arg(root.join("deploy/sbom")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bom: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((bom["bomFormat"].as_str(), bom["specVersion"].as_str()), (Some("CycloneDX"), Some("1.6")));
    assert_eq!(bom["metadata"]["component"]["name"], "longhaul");
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let components = bom["components"].as_array().unwrap();
    let text = |of: &Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
    for component in components {
        let (name, version) = (text(component, "name"), text(component, "version"));
        assert_eq!(text(component, "purl"), format!("pkg:cargo/{name}@{version}"));
        assert!(component["licenses"][0]["expression"].is_string(), "{component}");
        if !name.starts_with("longhaul-") {
            let digest = text(&component["hashes"][0], "content");
            let pinned = format!("name = \"{name}\"\nversion = \"{version}\"\n");
            let of = lock.split(&pinned).nth(1).unwrap_or_else(|| panic!("{name} {version} is not in Cargo.lock"));
            assert!(of.lines().take(3).any(|line| line == format!("checksum = \"{digest}\"")), "{component}");
        }
    }
    let names: HashSet<String> = components.iter().map(|component| text(component, "name")).collect();
    for compiled in ["longhaul-agent", "longhaul-gateway", "tokio", "rustls", "libsqlite3-sys", "serde_derive"] {
        assert!(names.contains(compiled), "{compiled} is missing");
    }
    for of_tests in ["longhaul-tests", "proptest", "loom", "vt100", "utoipa", "jsonschema"] {
        assert!(!names.contains(of_tests), "{of_tests} is no part of the program");
    }
    // Each that needs another is there, and so is the other.
    let known: HashSet<String> =
        components.iter().chain([&bom["metadata"]["component"]]).map(|c| text(c, "bom-ref")).collect();
    for needs in bom["dependencies"].as_array().unwrap() {
        let all = needs["dependsOn"].as_array().unwrap().iter().map(|on| on.as_str().unwrap().to_owned());
        assert!(known.contains(&text(needs, "ref")) && all.into_iter().all(|on| known.contains(&on)), "{needs}");
    }
}
