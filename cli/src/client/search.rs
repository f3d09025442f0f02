//! What is asked about many lines or many runs.

use futures_util::{StreamExt, stream::BoxStream};
use longhaul_proto::api::{EventsReady, ProgressEvent, SearchView, StepEvent};
use reqwest::Method;
use serde::{Serialize, de::DeserializeOwned};
use sse_stream::{Sse, SseStream};

use super::{ANSWER, Client, ClientError, path, with_query};

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
        let sse = SseStream::from_bytes_stream(response.bytes_stream()).boxed();
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
