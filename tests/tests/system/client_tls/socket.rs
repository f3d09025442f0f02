//! The socket of the gateway's own OS user, and what a process gets that takes the gateway's port.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::{Path, PathBuf},
};

use longhaul_proto::tasks::Tasks;
use longhaul_tests::{
    lab,
    lab::{Gateway, Lab},
    need,
    trust::Recorder,
    wait,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::mpsc,
};

/// Where the gateway says that its socket is.
fn socket(gateway: &Gateway) -> PathBuf {
    let endpoint = lab::json(&gateway.daemon.data.join("endpoint.json")).unwrap();
    PathBuf::from(endpoint["socket"].as_str().unwrap_or_else(|| panic!("{endpoint}")))
}

/// Bytes that commands of the gateway's own user put on the wire to its port.
async fn on_the_wire(bug: &str) -> usize {
    let mut lab = lab!();
    lab.env("LONGHAUL_FAULTS", bug);
    let wire = Recorder::new().await;
    lab.env("LONGHAUL_ADVERTISE", wire.url());
    let gateway = lab.serving("gateway", &["gateway"]).await;
    wire.to(gateway.api.address().parse().unwrap());
    let data = gateway.daemon.data.to_str().unwrap();
    for command in [&["runs"][..], &["token", "add", "ana"], &["hosts"]] {
        let ran = lab.run([command, &["--gateway", &wire.url(), "--data", data]].concat()).await;
        assert_eq!(ran.status, 0, "{ran:#?}");
    }
    wire.bytes()
}

#[tokio::test]
async fn commands_of_the_gateways_own_user_go_by_its_socket() {
    assert_eq!(on_the_wire("").await, 0);
    // The control: without the socket they go by the port.
    assert!(on_the_wire("bug=no_socket").await > 500);
}

#[tokio::test]
async fn the_socket_is_in_the_state_folder_closed_and_replaced_after_a_crash() {
    let lab = lab!();
    let mut gateway = lab.serving("gateway", &["gateway"]).await;
    let at = socket(&gateway);
    assert!(at.starts_with(lab.path().join("home/.local/state/longhaul/sockets")), "{}", at.display());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&at), mode(at.parent().unwrap())), (0o600, 0o700));
    gateway.kill_and_restart().await;
    assert_eq!(socket(&gateway), at);
    assert!(UnixStream::connect(&at).is_ok());
    assert_eq!(lab.run(["runs", "--data", gateway.daemon.data.to_str().unwrap()]).await.status, 0);
    gateway.daemon.terminate().await;
    assert!(!at.exists(), "an orderly stop removes it");
}

/// Answers whatever comes to a port, and passes on what came.
fn squat(listener: TcpListener, tasks: &Tasks) -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(16);
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 8192];
            let read = stream.read(&mut head).await.unwrap_or(0);
            let body = "{\"runs\": []}";
            let answer =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = tell.send(String::from_utf8_lossy(&head[..read]).into_owned()).await;
        }
    });
    told
}

#[tokio::test]
async fn a_process_that_takes_the_port_of_a_stopped_gateway_gets_no_token() {
    for bug in ["", "bug=token_to_any_port"] {
        let mut lab = lab!();
        lab.env("LONGHAUL_FAULTS", bug);
        let mut gateway = lab.serving("gateway", &["gateway"]).await;
        gateway.daemon.terminate().await;
        let at = gateway.api.address().to_owned();
        let free = async || TcpListener::bind(&at).await.ok();
        let tasks = Tasks::new();
        let mut told = squat(wait::until(wait::SOON, "the port is free", free).await, &tasks);
        let data = gateway.daemon.data.to_str().unwrap();
        lab.run(["runs", "--gateway", gateway.api.url(), "--data", data]).await;
        let asked = told.recv().await.unwrap();
        assert!(asked.starts_with("GET /api/v1/runs"), "{asked}");
        assert_eq!(asked.contains(gateway.api.token()), !bug.is_empty(), "{asked}");
        tasks.shutdown(wait::SOON).await;
    }
}

/// What a process gets at the socket; of another user where one is given.
fn asks(socket: &Path, user: Option<u32>) -> String {
    let Some(user) = user else {
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        let _ = stream.read_to_string(&mut text);
        return text;
    };
    let script = "import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\ntry:\n    \
                  s.sendall(b'GET /healthz HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n')\n    \
                  print(s.recv(4096))\nexcept OSError as error:\n    print(repr(error))\n";
    let mut python = std::process::Command::new("/usr/bin/python3");
    let ran = python.args(["-c", script]).arg(socket).uid(user).gid(user).output().unwrap();
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

fn open(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
}

/// Where the folder no longer keeps other users out, the kernel's word about the other end still does.
async fn with_an_open_folder(bug: &str) -> (Lab, Gateway, tempfile::TempDir) {
    let mut lab = lab!();
    let state = tempfile::tempdir().unwrap();
    open(state.path());
    lab.env("LONGHAUL_FAULTS", bug).env("XDG_STATE_HOME", state.path());
    let gateway = lab.serving("gateway", &["gateway"]).await;
    let at = socket(&gateway);
    [at.as_path(), at.parent().unwrap(), &state.path().join("longhaul")].into_iter().for_each(open);
    (lab, gateway, state)
}

#[tokio::test]
async fn another_user_is_not_answered_at_the_socket() {
    if !need::root() {
        need::skip("second-user", "only the superuser can become another user");
        return;
    }
    for bug in ["", "bug=any_local_user"] {
        let (lab, gateway, _state) = with_an_open_folder(bug).await;
        let at = socket(&gateway);
        let stranger = asks(&at, Some(65_534));
        assert_eq!(stranger.contains("200 OK"), !bug.is_empty(), "{stranger}");
        assert!(asks(&at, None).contains("200 OK"), "the same user is answered");
        // A command does not use a socket in such a folder: who may change the folder chooses what answers there.
        let ran = lab.run(["runs", "--data", gateway.daemon.data.to_str().unwrap()]).await;
        assert_eq!(ran.status, 0, "it goes by the port: {ran:#?}");
    }
}
