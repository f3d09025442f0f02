//! Certificates of receivers are verified: by the lab's own root where the gateway has it, and otherwise they are not told.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use longhaul_gateway::{
    ca::authority::{Authority, Leaf, new_key},
    key_store::Folder,
};
use longhaul_proto::{
    clock::Clock,
    tasks::Tasks,
    transport::{Certified, Https, Key, accept_all},
};
use longhaul_tests::lab;
use rcgen::{ExtendedKeyUsagePurpose, SanType};
use tokio::net::TcpListener;

use super::{Got, allowing, submit, take, up, wait_told};

/// Certificate and key of a server at this machine's loopback address or another name, of an authority whose root is `ca.pem`
/// in the folder; also as files.
pub(super) fn certificate(folder: &Path, of: SanType) -> (PathBuf, PathBuf) {
    let now_s = Clock::system().unix_ms() / 1000;
    fs::create_dir_all(folder).unwrap();
    let authority = Authority::ensure(&Folder::new(folder), now_s).unwrap();
    let leaf = Leaf {
        names: vec![of],
        subject: "receiver".to_owned(),
        uses: vec![ExtendedKeyUsagePurpose::ServerAuth],
        lifetime: Duration::from_secs(24 * 3600),
    };
    let key = new_key().unwrap();
    let chain = authority.issue(leaf, &key, now_s).unwrap();
    let (chain_file, key_file) = (folder.join("server.pem"), folder.join("server-key.pem"));
    fs::write(&chain_file, chain).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    (chain_file, key_file)
}

/// A receiver that speaks TLS with this certificate.
fn listen(listener: TcpListener, (chain, key): (PathBuf, PathBuf), tasks: &Tasks) -> Arc<Mutex<Vec<Got>>> {
    let text = |path: PathBuf| fs::read_to_string(path).unwrap();
    let https = Https::new(Certified::from_pem(&text(chain), &text(key)).unwrap()).unwrap();
    let (got, key) = (Arc::default(), Key::generate().unwrap());
    let seen = Arc::clone(&got);
    tasks.spawn_until_stop(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(accepted) = accept_all(stream, &key, Some(&https)).await else { continue };
            if accepted.encrypted {
                take(accepted.stream, &seen, "200 OK").await;
            }
        }
    });
    got
}

#[tokio::test]
async fn a_certificate_must_be_one_that_the_gateway_trusts() {
    let here = || SanType::IpAddress([127, 0, 0, 1].into());
    let other = || SanType::IpAddress([127, 0, 0, 2].into());
    for (trusted, name, want) in
        [(true, here(), None), (false, here(), Some("certificate")), (true, other(), Some("certificate"))]
    {
        let mut lab = lab!();
        let pki = lab.path().join("pki");
        let files = certificate(&pki, name);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tasks = Tasks::new();
        let got = listen(listener, files, &tasks);
        // Where TLS is not spoken nothing may be sent.
        allowing(&mut lab, &[address.to_string()]);
        if trusted {
            lab.env("LONGHAUL_NOTIFY_CA", pki.join("ca.pem"));
        }
        let gateway = up(&lab).await;
        submit(&gateway.api, "display 1", &[format!("https://{address}/")]).await;
        match want {
            None => {
                wait_told(&gateway.api, "it is delivered", |one| one.state == "delivered").await;
                assert_eq!(got.lock().unwrap().len(), 1);
            }
            Some(want) => {
                let told = wait_told(&gateway.api, "it was tried", |one| one.tries > 0).await;
                assert!(told.problem.as_ref().unwrap().contains(want), "{told:?}");
                assert_eq!(got.lock().unwrap().len(), 0);
            }
        }
        let plain = super::telling("display 2", &[format!("http://{address}/")]);
        assert!(gateway.api.submit(&plain).await.unwrap_err().detail.contains("without TLS"));
        tasks.shutdown(Duration::from_secs(1)).await;
    }
}
