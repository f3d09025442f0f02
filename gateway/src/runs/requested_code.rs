//! The code of a request: a path, a text or a bundle, in the request itself or by the digests of blobs.
//!
//! **What a record holds is small.** Up to [`INLINE`] bytes of code stay with the record: they are durable with the commit
//! that records the run, without a file and a sync of their own, and most requests are that small. More becomes blobs,
//! and the record has their digests.

use std::collections::HashSet;

use base64::Engine;
use bytes::Bytes;
use longhaul_proto::{
    api::{BundleFileRequest, BundleRequest, SubmitRequest},
    digest::ContentDigest,
    sha256_hex,
    wire::{self, submission::Source},
};

use super::{
    SubmitError,
    check::{MAX_PATH, bad, check_absolute_path, check_path},
};

/// Most bytes of code that stay with the record.
pub(super) const INLINE: usize = 64 * 1024;

/// Most files of a bundle.
const MAX_FILES: usize = 10_000;

/// The code that a request names.
#[derive(Debug)]
pub(super) struct RequestedCode {
    /// Where it comes from. Of stored code the lengths of files are not known yet that the request names by digests.
    pub(super) source: Source,
    /// The contents in the request that are to be stored as blobs.
    pub(super) contents: Vec<Bytes>,
    /// Take the path only where an agent sees these bytes, else the source.
    pub(super) path_if: Option<String>,
    /// The path, `text`, or `bundle: entry`.
    pub(super) label: String,
    /// Digest of the code; empty for a path.
    pub(super) digest: String,
}

/// Finds the code of a request.
///
/// # Errors
/// What is wrong with it.
pub(super) fn of(submit: &SubmitRequest, max_code: usize) -> Result<RequestedCode, SubmitError> {
    let SubmitRequest { path, text, text_sha256, bundle, .. } = submit;
    match path {
        Some(path) if text.is_some() || text_sha256.is_some() => check_absolute_path("path", path)?,
        Some(path) => check_path("path", path)?,
        None => {}
    }
    match (path, text, text_sha256, bundle) {
        (path, Some(text), None, None) => in_text(text, path.clone(), max_code),
        (path, None, Some(digest), None) => {
            let digest = digest_of("text_sha256", digest)?;
            Ok(text_of(Source::Stored(stored_text(digest, 0)), Vec::new(), digest, path.clone()))
        }
        (Some(path), None, None, None) => Ok(RequestedCode {
            source: Source::Path(path.clone()),
            contents: Vec::new(),
            path_if: None,
            label: path.clone(),
            digest: String::new(),
        }),
        (None, None, None, Some(bundle)) => bundled(bundle, max_code),
        (None, None, None, None) => bad("nothing to run: pass path (a do-file on the Stata host), text, or bundle"),
        _ => bad(
            "pass exactly one of path, text and bundle (path and text together mean: the path where it has the same bytes)",
        ),
    }
}

fn in_text(text: &str, path: Option<String>, max_code: usize) -> Result<RequestedCode, SubmitError> {
    if text.len() > max_code {
        return too_large("text", text.len(), max_code);
    }
    if text.trim().is_empty() {
        return bad("text is empty: there is nothing to run");
    }
    if text.contains('\0') {
        return bad("text holds a NUL character: it is not a do-file");
    }
    let digest = ContentDigest::of(text.as_bytes());
    let bytes = text.as_bytes().to_vec();
    if bytes.len() <= INLINE {
        return Ok(text_of(Source::Text(bytes), Vec::new(), digest, path));
    }
    let stored = stored_text(digest, bytes.len() as u64);
    Ok(text_of(Source::Stored(stored), vec![bytes.into()], digest, path))
}

fn text_of(source: Source, contents: Vec<Bytes>, digest: ContentDigest, path_if: Option<String>) -> RequestedCode {
    RequestedCode { source, contents, path_if, label: "text".to_owned(), digest: digest.to_string() }
}

fn stored_text(digest: ContentDigest, bytes: u64) -> wire::StoredCode {
    let file = wire::StoredFile { sha256: digest.to_string(), bytes, ..wire::StoredFile::default() };
    wire::StoredCode { files: vec![file], entry: String::new() }
}

fn digest_of(what: &str, text: &str) -> Result<ContentDigest, SubmitError> {
    match text.parse() {
        Ok(digest) => Ok(digest),
        Err(_) => bad(format!("{what} must be 64 hexadecimal characters: the SHA-256 of what you uploaded")),
    }
}

fn too_large<T>(what: &str, bytes: usize, max_code: usize) -> Result<T, SubmitError> {
    let how = "put the do-file on the Stata host and pass its path, or use `longhaul run` (up to 32 MiB)";
    Err(SubmitError::TooLarge(format!("{what} has {bytes} bytes, and at most {max_code} are taken here: {how}")))
}

/// A file of a bundle; of one that is named by its digest the content is elsewhere.
struct Part {
    path: String,
    digest: ContentDigest,
    content: Option<Bytes>,
    mode: u32,
}

/// The source that a bundle is.
fn bundled(bundle: &BundleRequest, max_code: usize) -> Result<RequestedCode, SubmitError> {
    if bundle.files.len() > MAX_FILES {
        return bad(format!("bundle: {} files, and at most {MAX_FILES} are taken", bundle.files.len()));
    }
    let mut parts = Vec::with_capacity(bundle.files.len());
    let (mut names, mut total) = (HashSet::new(), 0);
    for file in &bundle.files {
        check_relative(&file.path)?;
        if !names.insert(&file.path) {
            return bad(format!("bundle: {} comes twice", file.path));
        }
        let part = part(file)?;
        total += part.content.as_ref().map_or(0, Bytes::len);
        if total > max_code {
            return too_large("bundle", total, max_code);
        }
        parts.push(part);
    }
    let Some(entry) = parts.iter().find(|part| part.path == bundle.entry) else {
        return bad(format!("bundle: entry `{}` is not one of its files", bundle.entry));
    };
    if entry.content.as_ref().is_some_and(|content| content.contains(&0)) {
        return bad(format!("bundle: {} holds a NUL character: it is not a do-file", entry.path));
    }
    parts.sort_by(|a, b| a.path.cmp(&b.path));
    let digests: String = parts.iter().map(|part| format!("{}\n{}\n", part.digest, part.path)).collect();
    let label = format!("bundle: {}", bundle.entry);
    let (source, contents) = source_of(parts, &bundle.entry, total);
    Ok(RequestedCode { source, contents, path_if: None, label, digest: sha256_hex(digests.as_bytes()) })
}

fn part(file: &BundleFileRequest) -> Result<Part, SubmitError> {
    let (path, mode) = (file.path.clone(), file.mode.unwrap_or_default());
    if mode > 0o777 {
        return bad(format!("bundle: the mode of {path} must be permission bits, from 0 to 511 (0777)"));
    }
    match (&file.content, &file.sha256) {
        (Some(content), None) => {
            let Ok(content) = base64::engine::general_purpose::STANDARD.decode(content) else {
                return bad(format!("bundle: the content of {path} is not standard base64"));
            };
            Ok(Part { path, digest: ContentDigest::of(&content), content: Some(content.into()), mode })
        }
        (None, Some(digest)) => {
            let digest = digest_of(&format!("bundle: the sha256 of {path}"), digest)?;
            Ok(Part { path, digest, content: None, mode })
        }
        _ => bad(format!("bundle: pass content or sha256 for {path}")),
    }
}

/// Small bundles stay as they are, others become blobs.
fn source_of(parts: Vec<Part>, entry: &str, total: usize) -> (Source, Vec<Bytes>) {
    let entry = entry.to_owned();
    if total <= INLINE && parts.iter().all(|part| part.content.is_some()) {
        let file = |Part { path, content, mode, .. }: Part| wire::BundleFile {
            path,
            content: content.map(Vec::from).unwrap_or_default(),
            mode,
        };
        return (Source::Bundle(wire::Bundle { files: parts.into_iter().map(file).collect(), entry }), Vec::new());
    }
    let (mut files, mut contents) = (Vec::with_capacity(parts.len()), Vec::new());
    for Part { path, digest, content, mode } in parts {
        let bytes = content.as_ref().map_or(0, Bytes::len) as u64;
        files.push(wire::StoredFile { path, sha256: digest.to_string(), bytes, mode });
        contents.extend(content);
    }
    (Source::Stored(wire::StoredCode { files, entry }), contents)
}

fn check_relative(path: &str) -> Result<(), SubmitError> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if path.len() > MAX_PATH || path.contains(['\\', '\0', '\n', '\r']) || !path.split('/').all(plain) {
        return bad(format!("bundle: `{path}` must be a relative path without `..`, such as data/clean.do"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> SubmitRequest {
        SubmitRequest { text: Some(text.to_owned()), ..SubmitRequest::default() }
    }

    fn bundle(files: Vec<BundleFileRequest>) -> SubmitRequest {
        let bundle = BundleRequest { entry: "a.do".to_owned(), files };
        SubmitRequest { bundle: Some(bundle), ..SubmitRequest::default() }
    }

    fn inline(path: &str, content: &str) -> BundleFileRequest {
        BundleFileRequest::inline(path, base64::engine::general_purpose::STANDARD.encode(content))
    }

    #[test]
    fn only_large_code_is_stored() {
        let small = of(&text("display 1"), 1 << 20).unwrap();
        assert!(matches!(small.source, Source::Text(_)) && small.contents.is_empty());
        let long = "x".repeat(INLINE + 1);
        let large = of(&text(&long), 1 << 20).unwrap();
        let digest = ContentDigest::of(long.as_bytes());
        assert_eq!(large.source, Source::Stored(stored_text(digest, INLINE as u64 + 1)));
        assert_eq!(large.contents, std::slice::from_ref(&long));
        // It equals the same code by its digest.
        let named = SubmitRequest { text_sha256: Some(digest.to_string().to_uppercase()), ..SubmitRequest::default() };
        assert_eq!(of(&named, 1 << 20).unwrap().digest, large.digest);
        let both = SubmitRequest { text: Some("x".to_owned()), ..named };
        assert!(of(&both, 1 << 20).unwrap_err().to_string().contains("exactly one of"));
    }

    #[test]
    fn a_bundle_by_digests_is_the_same_code() {
        let small = of(&bundle(vec![inline("a.do", "do b"), inline("b.do", "x")]), 1 << 20).unwrap();
        assert!(matches!(small.source, Source::Bundle(_)) && small.contents.is_empty());
        let by_digest = |path: &str, content: &str| {
            BundleFileRequest::stored(path, ContentDigest::of(content.as_bytes()).to_string())
        };
        let mixed = of(&bundle(vec![by_digest("b.do", "x"), inline("a.do", "do b")]), 1 << 20).unwrap();
        assert_eq!(mixed.digest, small.digest);
        assert_eq!(mixed.contents, ["do b"]);
        let Source::Stored(code) = mixed.source else { panic!("{:?}", mixed.source) };
        assert_eq!(code.files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), ["a.do", "b.do"]);
        let wrong = |file: BundleFileRequest| of(&bundle(vec![file]), 1 << 20).unwrap_err().to_string();
        assert!(wrong(BundleFileRequest::stored("a.do", "12")).contains("64 hexadecimal"));
        assert!(wrong(BundleFileRequest { content: None, ..inline("a.do", "") }).contains("content or sha256"));
        assert!(wrong(BundleFileRequest { mode: Some(0o1777), ..inline("a.do", "") }).contains("permission bits"));
    }
}
