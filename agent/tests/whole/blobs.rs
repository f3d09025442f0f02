//! The files of stored code, which come before their run.

use std::fs;

use longhaul_proto::{
    digest::ContentDigest,
    tasks::Tasks,
    wire::{self, submission::Source},
};
use tokio::sync::mpsc;
use tokio_stream::{iter, wrappers::ReceiverStream};
use tonic::Code;

use crate::{
    PATIENCE, Test,
    kit::{Gateway, Place, block_on, submission, until},
};

pub(crate) const TESTS: &[Test] = &[
    ("blobs::files_come_in_pieces_and_the_run_has_them", files_come_in_pieces_and_the_run_has_them),
    ("blobs::wrong_bytes_are_not_kept", wrong_bytes_are_not_kept),
    ("blobs::a_later_call_goes_on_instead_of_an_earlier_one", a_later_call_goes_on_instead_of_an_earlier_one),
    ("blobs::without_its_files_no_run_begins", without_its_files_no_run_begins),
    ("blobs::what_no_run_took_is_gone_at_the_next_start", what_no_run_took_is_gone_at_the_next_start),
];

const CODE: &[u8] = b"confirm file data.csv\nconfirm file sub/same.csv\ndisplay \"all there\"\n";

fn data() -> Vec<u8> {
    (0..60_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn named(content: &[u8]) -> wire::BlobFile {
    wire::BlobFile { sha256: ContentDigest::of(content).to_string(), bytes: content.len() as u64 }
}

/// A bundle of code and data, the latter under two names.
fn bundle() -> wire::Submission {
    let file = |path: &str, content: &[u8]| {
        let wire::BlobFile { sha256, bytes } = named(content);
        wire::StoredFile { path: path.to_owned(), sha256, bytes, mode: 0 }
    };
    let files =
        vec![file("data.csv", &data()), file("empty.csv", b""), file("main.do", CODE), file("sub/same.csv", &data())];
    submission(Source::Stored(wire::StoredCode { files, entry: "main.do".to_owned() }))
}

/// Parts of a file from an offset on.
fn parts(run: &str, content: &[u8], from: usize) -> Vec<wire::BlobPart> {
    let head = wire::BlobPart {
        run_id: run.to_owned(),
        cluster_id: "lab".to_owned(),
        file: Some(named(content)),
        offset: from as u64,
        ..Default::default()
    };
    let mut parts: Vec<_> = content[from..]
        .chunks(50_000)
        .map(|piece| wire::BlobPart { data: piece.to_vec().into(), ..Default::default() })
        .collect();
    if let Some(first) = parts.first_mut() {
        *first = wire::BlobPart { data: first.data.clone(), ..head };
    }
    parts
}

async fn offset(gateway: &Gateway, run: &str, content: &[u8]) -> u64 {
    gateway.blob_offsets(run, vec![named(content)]).await.unwrap()[0]
}

fn files_come_in_pieces_and_the_run_has_them() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        assert!(gateway.describe().await.agent.unwrap().takes_blobs);
        let (request, data) = (bundle(), data());
        let run = request.run_id.clone();
        // Two parts, and the call breaks off.
        gateway.put_blobs(iter(parts(&run, &data, 0)[..2].to_vec())).await.unwrap();
        assert_eq!(offset(&gateway, &run, &data).await, 100_000);
        let wrong = gateway.put_blobs(iter(parts(&run, &data, 50_000))).await.unwrap_err();
        assert!(wrong.code() == Code::Aborted && wrong.message().contains("has 100000 bytes"), "{wrong}");
        let rest = [parts(&run, &data, 100_000), parts(&run, CODE, 0)].concat();
        gateway.put_blobs(iter(rest)).await.unwrap();
        assert_eq!(offset(&gateway, &run, &data).await, data.len() as u64);
        let followed = gateway.complete(request.clone()).await;
        let outcome = followed.outcome();
        assert_eq!((outcome.state(), outcome.cause()), (wire::RunState::Succeeded, wire::Cause::Completed));
        let spool = place.spool(&run);
        for name in ["data.csv", "sub/same.csv"] {
            assert!(fs::read(spool.work().join(name)).unwrap() == data, "{name}");
        }
        assert_eq!(fs::read(spool.work().join("empty.csv")).unwrap(), b"");
        assert_eq!(fs::read(spool.code()).unwrap(), CODE);
        assert!(!spool.blobs().exists(), "what came is the run's alone");
        // The same call again is the same run.
        assert_eq!(gateway.complete(request).await.outcome().state(), wire::RunState::Succeeded);
    });
}

fn wrong_bytes_are_not_kept() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let (run, data) = (bundle().run_id, data());
        let mut wrong = parts(&run, &data, 0);
        let last = wrong.last_mut().unwrap();
        last.data = last.data.iter().map(|byte| !byte).collect();
        let refused = gateway.put_blobs(iter(wrong)).await.unwrap_err();
        assert!(refused.code() == Code::DataLoss && refused.message().contains("have the SHA-256"), "{refused}");
        assert_eq!(offset(&gateway, &run, &data).await, 0);
        let mut long = parts(&run, &data, 0);
        long.push(wire::BlobPart { data: vec![1].into(), ..Default::default() });
        let refused = gateway.put_blobs(iter(long)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
    });
}

fn a_later_call_goes_on_instead_of_an_earlier_one() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let (run, data) = (bundle().run_id, data());
        // A call that stands still, as over a connection that is broken.
        let (sender, receiver) = mpsc::channel(4);
        let earlier = Tasks::new().spawn({
            let gateway = gateway.clone();
            async move { gateway.put_blobs(ReceiverStream::new(receiver)).await }
        });
        sender.send(parts(&run, &data, 0)[0].clone()).await.unwrap();
        let partial = place.data().join("agent/incoming").join(&run).join(format!("{}.part", ContentDigest::of(&data)));
        until("the first part comes", || fs::metadata(&partial).is_ok_and(|meta| meta.len() == 50_000)).await;
        gateway.put_blobs(iter(parts(&run, &data, 50_000))).await.unwrap();
        assert_eq!(offset(&gateway, &run, &data).await, data.len() as u64);
        sender.send(parts(&run, &data, 0)[1].clone()).await.unwrap();
        let superseded = earlier.await.unwrap().unwrap_err();
        assert!(superseded.message().contains("a later call"), "{superseded}");
    });
}

fn without_its_files_no_run_begins() {
    block_on(async {
        let place = Place::new();
        let (_agent, gateway) = place.agent().await;
        let request = bundle();
        let run = request.run_id.clone();
        gateway.put_blobs(iter(parts(&run, &data(), 0))).await.unwrap();
        let refused = gateway.run(request, 1).await.err().unwrap();
        assert!(refused.code() == Code::FailedPrecondition && refused.message().contains("is not here"), "{refused}");
        assert!(gateway.revoke(&run, 1).await, "it provably never began");
    });
}

fn what_no_run_took_is_gone_at_the_next_start() {
    block_on(async {
        let place = Place::new();
        let (agent, gateway) = place.agent().await;
        let (run, data) = (bundle().run_id, data());
        gateway.put_blobs(iter(parts(&run, &data, 0)[..2].to_vec())).await.unwrap();
        assert_eq!(offset(&gateway, &run, &data).await, 100_000);
        agent.shutdown(PATIENCE).await;
        let (_agent, gateway) = place.agent().await;
        assert_eq!(fs::read_dir(place.data().join("agent/incoming")).unwrap().count(), 0);
        assert_eq!(offset(&gateway, &run, &data).await, 0);
    });
}
