//! Uploading files that a submission names by their digests. An upload that breaks off goes on where the gateway has the
//! bytes.

use std::{io::SeekFrom, time::Duration};

use reqwest::{Body, Method};
use tokio::{fs::File, io::AsyncSeekExt};

use super::{ANSWER, Client, ClientError};
use crate::input::LocalFile;

/// How often an upload that broke off goes on.
const TRIES: u32 = 5;
/// Pause before that.
const PAUSE: Duration = Duration::from_millis(500);
/// The slowest line that is waited for, bytes a second: what the gateway bears.
const RATE: u64 = 16 * 1024;

impl Client {
    /// Uploads a file.
    ///
    /// # Errors
    /// See [`ClientError`]; also when the file has changed since its digest was made.
    pub(crate) async fn upload(&self, file: &LocalFile) -> Result<(), ClientError> {
        let mut tries = 1;
        loop {
            let offset = if tries == 1 { None } else { self.uploaded(file).await? };
            match self.send_from(file, offset).await {
                Err(error) if error.may_pass() && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                done => return done,
            }
        }
    }

    /// Sends the whole, or what follows an offset.
    async fn send_from(&self, file: &LocalFile, offset: Option<u64>) -> Result<(), ClientError> {
        if offset == Some(file.bytes) {
            return Ok(());
        }
        let unreadable = |source| ClientError::File { path: file.path.clone(), source };
        let mut content = File::open(&file.path).await.map_err(unreadable)?;
        let request = match offset {
            None => self.request(Method::PUT, &place(file)).header("upload-length", file.bytes),
            Some(offset) => {
                content.seek(SeekFrom::Start(offset)).await.map_err(unreadable)?;
                let request = self.request(Method::PATCH, &place(file)).header("upload-offset", offset);
                request.header("content-type", "application/offset+octet-stream")
            }
        };
        let limit = ANSWER + Duration::from_secs(file.bytes / RATE);
        self.send(request.body(Body::from(content)), limit).await.map(drop)
    }

    /// How many bytes of the file the gateway has; `None` = it knows of no upload.
    async fn uploaded(&self, file: &LocalFile) -> Result<Option<u64>, ClientError> {
        match self.send(self.request(Method::HEAD, &place(file)), ANSWER).await {
            Ok(response) => {
                let offset = response.headers().get("upload-offset").and_then(|value| value.to_str().ok());
                Ok(offset.and_then(|text| text.parse().ok()))
            }
            // A body that would tell unknown uploads from other answers has no place in an answer to HEAD.
            Err(ClientError::NotAGateway { .. } | ClientError::Refused { .. }) => Ok(None),
            Err(error) if error.may_pass() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn place(file: &LocalFile) -> String {
    format!("/api/v1/blobs/{}", file.digest)
}
