//! The stores that a simulation lets answer at once.

use longhaul_gateway::{
    ledger::{
        Answer, Blob, BlobFile, BlobStore, BlobsSwept, DoFileStore, DoFiles, Finished, NewUpload, Rotation,
        RunFileStore, RunFiles, Stash, StashStore, TokenRecord, TokenStore, Upload, UploadBegun,
    },
    model::Principal,
};
use longhaul_proto::{digest::ContentDigest, ids::RunId};

use super::SimLedger;

impl TokenStore for SimLedger {
    fn token_add(&self, token: TokenRecord) -> Answer<'_, bool> {
        self.model.token_add(token)
    }
    fn token_find<'a>(&'a self, sha256: &'a str) -> Answer<'a, Option<TokenRecord>> {
        self.model.token_find(sha256)
    }
    fn token_list(&self) -> Answer<'_, Vec<TokenRecord>> {
        self.model.token_list()
    }
    fn principals_called<'a>(&'a self, subject: &'a str) -> Answer<'a, Vec<Principal>> {
        self.model.principals_called(subject)
    }
    fn token_revoke<'a>(&'a self, name: &'a str, at_ms: i64) -> Answer<'a, bool> {
        self.model.token_revoke(name, at_ms)
    }
    fn token_rotate<'a>(&'a self, name: &'a str, rotation: Rotation) -> Answer<'a, Option<TokenRecord>> {
        self.model.token_rotate(name, rotation)
    }
}

impl StashStore for SimLedger {
    fn stash_put(&self, stash: Stash) -> Answer<'_, ()> {
        self.model.stash_put(stash)
    }
    fn stash_get<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, Option<Stash>> {
        self.model.stash_get(kind, name)
    }
    fn stash_remove<'a>(&'a self, kind: &'a str, name: &'a str) -> Answer<'a, ()> {
        self.model.stash_remove(kind, name)
    }
    fn stash_sweep(&self, before_ms: i64, most: u32) -> Answer<'_, ()> {
        self.model.stash_sweep(before_ms, most)
    }
}

impl BlobStore for SimLedger {
    fn begin_upload(&self, new: NewUpload) -> Answer<'_, UploadBegun> {
        self.model.begin_upload(new)
    }
    fn use_upload(&self, principal: Principal, digest: ContentDigest, at_ms: i64) -> Answer<'_, Option<Upload>> {
        self.model.use_upload(principal, digest, at_ms)
    }
    fn upload<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Upload>> {
        self.model.upload(principal, digest)
    }
    fn finish_upload(&self, upload: Upload, at_ms: i64) -> Answer<'_, Option<Finished>> {
        self.model.finish_upload(upload, at_ms)
    }
    fn end_upload(&self, upload: Upload) -> Answer<'_, bool> {
        self.model.end_upload(upload)
    }
    fn blob<'a>(&'a self, principal: &'a Principal, digest: ContentDigest) -> Answer<'a, Option<Blob>> {
        self.model.blob(principal, digest)
    }
    fn blobs_of(&self, run: RunId) -> Answer<'_, Vec<Blob>> {
        self.model.blobs_of(run)
    }
    fn blob_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, BlobsSwept> {
        self.model.blob_sweep(before_ms, limit)
    }
    fn blob_files<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<BlobFile>> {
        self.model.blob_files(prefix)
    }
}

impl DoFileStore for SimLedger {
    fn note_do_files(&self, run: RunId, entered: DoFiles) -> Answer<'_, bool> {
        self.model.note_do_files(run, entered)
    }
    fn do_files(&self, run: RunId) -> Answer<'_, Option<DoFiles>> {
        self.model.do_files(run)
    }
    fn do_files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.model.do_files_due(agent_id, limit)
    }
}

impl RunFileStore for SimLedger {
    fn note_files(&self, run: RunId, left: RunFiles) -> Answer<'_, bool> {
        self.model.note_files(run, left)
    }
    fn files(&self, run: RunId) -> Answer<'_, Option<RunFiles>> {
        self.model.files(run)
    }
    fn files_due<'a>(&'a self, agent_id: &'a str, limit: u32) -> Answer<'a, Vec<RunId>> {
        self.model.files_due(agent_id, limit)
    }
}
