//! The stores that a simulation lets answer at once.

use longhaul_gateway::{
    ledger::{
        Answer, Blob, BlobFile, BlobStore, BlobsSwept, DoFileStore, DoFiles, Finished, NewUpload, Notification,
        NotificationKey, NotificationStore, QuotaStore, ReceiverAdded, ReceiverRecord, Rotation, RunFileStore,
        RunFiles, Signing, SigningChange, Stash, StashStore, TokenRecord, TokenStore, Tried, Upload, UploadBegun,
        Usage, Waiting,
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

impl QuotaStore for SimLedger {
    fn usage(&self, of: Vec<Principal>, since_ms: i64, most: u32) -> Answer<'_, Usage> {
        self.model.usage(of, since_ms, most)
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

impl NotificationStore for SimLedger {
    fn tell(&self, run: RunId, receivers: Vec<String>) -> Answer<'_, bool> {
        self.model.tell(run, receivers)
    }
    fn receiver_add(&self, receiver: ReceiverRecord, most: u32) -> Answer<'_, ReceiverAdded> {
        self.model.receiver_add(receiver, most)
    }
    fn receiver_remove(&self, principal: Principal, address: String) -> Answer<'_, bool> {
        self.model.receiver_remove(principal, address)
    }
    fn receivers<'a>(&'a self, principal: &'a Principal) -> Answer<'a, Vec<ReceiverRecord>> {
        self.model.receivers(principal)
    }
    fn notifications_due(&self, now_ms: i64, limit: u32) -> Answer<'_, Vec<Notification>> {
        self.model.notifications_due(now_ms, limit)
    }
    fn notifications_waiting(&self) -> Answer<'_, Waiting> {
        self.model.notifications_waiting()
    }
    fn notification_tried(&self, of: NotificationKey, tried: Tried) -> Answer<'_, bool> {
        self.model.notification_tried(of, tried)
    }
    fn notifications_of<'a>(&'a self, principal: &'a Principal, limit: u32) -> Answer<'a, Vec<Notification>> {
        self.model.notifications_of(principal, limit)
    }
    fn notification_sweep(&self, before_ms: i64, limit: u32) -> Answer<'_, u32> {
        self.model.notification_sweep(before_ms, limit)
    }
    fn signing(&self, principal: Principal, change: SigningChange) -> Answer<'_, Signing> {
        self.model.signing(principal, change)
    }
}
