//! Drawing a PDF that a run left, by the agent of its host.
//!
//! The bytes are sent there from wherever they are: the file itself may have gone with the run's folder.

use std::time::Duration;

use longhaul_proto::{ids::RunId, wire};

use super::{FindError, Runs, may};
use crate::{fleet::agent_port::Failure, model::Identity};

/// How long it may take: an agent's own limits for its turn and for drawing, and the way.
const ANSWER: Duration = Duration::from_secs(25);

impl Runs {
    /// The first page of a PDF, as PNG. The inner error says why there is none.
    ///
    /// # Errors
    /// When there is no such run for this caller.
    pub async fn picture(
        &self,
        who: &Identity,
        run: RunId,
        pdf: Vec<u8>,
    ) -> Result<Result<Vec<u8>, String>, FindError> {
        let record = self.record(run).await?.filter(|record| may(who, &record.principal));
        let record = record.ok_or_else(|| FindError::Unknown(run.to_string()))?;
        let host = record.host();
        let connection = self.0.fleet.connections(record.agent_id()).await.get();
        let Some(connection) = connection.filter(|connection| !connection.is_broken()) else {
            return Ok(Err(format!("a PDF is drawn by its host, and {host} is away")));
        };
        if !connection.draws_pdf() {
            return Ok(Err(format!(
                "the agent of {host} is too old to draw a PDF: install the gateway's version there"
            )));
        }
        let request = wire::DrawRequest {
            pdf,
            principal_issuer: who.principal.issuer().to_owned(),
            principal: who.principal.subject().to_owned(),
        };
        Ok(match tokio::time::timeout(ANSWER, connection.draw(request)).await {
            Ok(Ok(reply)) => Ok(reply.png),
            Ok(Err(error)) => Err(match error.failure {
                Failure::Refused => error.words,
                Failure::Unmet => format!("{host} cannot draw it: {}", error.words),
                _ => format!("{host} did not draw it ({}): ask again in a few seconds", error.words),
            }),
            Err(_) => Err(format!("{host} did not draw it in time: ask again in a few seconds")),
        })
    }
}
