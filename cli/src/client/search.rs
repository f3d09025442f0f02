//! What is asked about many lines or many runs.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use longhaul_proto::api::{EventsReady, ProgressEvent, SearchView, StepEvent};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use sse_stream::{Sse, SseStream};

use super::{ANSWER, Client, ClientError, path, with_query};

/// A stream of which nothing comes for so long, not even the comment that the gateway sends four times as often, is one whose
/// other end is gone.
const SILENT: Duration = Duration::from_secs(60);

/// An event of the stream over all runs.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Event {
    /// The first.
    Ready(EventsReady),
    /// A step of a run.
    State(StepEvent),
    /// What is new between two steps.
    Progress(ProgressEvent),
}

/// What comes from the stream.
pub(crate) struct Events {
    sse: BoxStream<'static, Result<Sse, sse_stream::Error>>,
    url: String,
}

impl Client {
    /// Lines of an output that match; `query` is the API's.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn search(&self, run: &str, query: &[(&'static str, String)]) -> Result<SearchView, ClientError> {
        self.json(self.request(Method::GET, &with_query(&path(run, "/output/search"), query))).await
    }

    /// The stream of what happens to all runs that the caller may see, behind the event with this id, or from now on.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub(crate) async fn events(&self, after: Option<&str>) -> Result<Events, ClientError> {
        let query: Vec<_> = after.map(|after| ("after", after.to_owned())).into_iter().collect();
        let response = self.send(self.request(Method::GET, &with_query("/api/v1/events", &query)), ANSWER).await?;
        let sse = SseStream::from_bytes_stream(until_silent(response.bytes_stream().boxed())).boxed();
        Ok(Events { sse, url: self.url.clone() })
    }
}

impl Events {
    /// The next event and its id; `None` = the stream has ended, and is to be asked for again behind the last id.
    ///
    /// # Errors
    /// When something else than an event of this API came.
    pub(crate) async fn next(&mut self) -> Result<Option<(Option<String>, Event)>, ClientError> {
        while let Some(Ok(sse)) = self.sse.next().await {
            let data = sse.data.unwrap_or_default();
            let event = match sse.event.as_deref() {
                Some("ready") => Event::Ready(self.read(&data)?),
                Some("state") => Event::State(self.read(&data)?),
                Some("progress") => Event::Progress(self.read(&data)?),
                // One of a later version.
                _ => continue,
            };
            return Ok(Some((sse.id, event)));
        }
        Ok(None)
    }

    fn read<T: DeserializeOwned>(&self, data: &str) -> Result<T, ClientError> {
        serde_json::from_str(data).map_err(|source| ClientError::Strange { url: self.url.clone(), source })
    }
}

/// The same, which ends when nothing comes for [`SILENT`].
fn until_silent<E: Send + 'static>(
    bytes: BoxStream<'static, Result<Bytes, E>>,
) -> impl Stream<Item = Result<Bytes, E>> + Send + 'static {
    stream::unfold(bytes, |mut bytes| async move {
        let piece = tokio::time::timeout(SILENT, bytes.next()).await.ok()??;
        Some((piece, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_stream_whose_other_end_is_gone_ends_and_one_that_is_only_quiet_does_not() {
        let quiet = stream::unfold(0, |n: u32| async move {
            tokio::time::sleep(SILENT / 4).await;
            Some((Ok::<_, std::io::Error>(Bytes::from_static(b":\n\n")), n + 1))
        });
        assert_eq!(until_silent(quiet.take(20).boxed()).count().await, 20);
        let one = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b":\n\n"))]);
        let began = tokio::time::Instant::now();
        assert_eq!(until_silent(one.chain(stream::pending()).boxed()).count().await, 1);
        assert_eq!(began.elapsed(), SILENT);
    }
}
