//! The crate's modules import one way: no two need each other, directly or by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What the files of a module name as `crate::NAME`, tests left out; a folder belongs to the module of its name.
fn imports() -> BTreeMap<String, BTreeSet<String>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<_> = fs::read_dir(&source).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let inner = path.strip_prefix(&source).unwrap();
        let module = inner.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for rest in code.split("crate::").skip(1) {
            let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let is_module = source.join(format!("{name}.rs")).exists();
            if is_module && name != module && module != "lib" {
                found.entry(module.clone()).or_default().insert(name);
            }
        }
    }
    found
}

#[test]
fn modules_import_one_way() {
    let mut left = imports();
    assert!(left["corrupt"].contains("geometry") && left["geometry"].contains("spec"), "{left:#?}");
    // Take away what imports nothing that is left, again and again: a circle stays.
    loop {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let before = left.len();
        left.retain(|_, imported| imported.iter().any(|name| names.contains(name)));
        if left.len() == before {
            break;
        }
    }
    assert!(left.is_empty(), "these modules import in a circle, or what is in one: {left:#?}");
}
