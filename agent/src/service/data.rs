//! Data files: a call's parts, made on a thread that may block, at the pace of the caller.

use longhaul_proto::{tasks, wire};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::{
    data::{self, DataReader, Refused},
    prepare::Places,
};

/// Parts that wait for the caller.
const WAITING: usize = 4;

/// The parts of an answer.
pub(super) type Parts = ReceiverStream<Result<wire::DataPart, Status>>;

fn part(part: wire::data_part::Part) -> wire::DataPart {
    wire::DataPart { part: Some(part) }
}

/// Which file a path names, at once; what is in it, when it is its turn.
pub(super) async fn answer(reader: &DataReader, places: Places, request: wire::DataRequest) -> Result<Parts, Status> {
    let (send, parts) = mpsc::channel(WAITING);
    if request.action() == wire::DataAction::Find {
        let file = tasks::blocking(move || data::find(&places, &request.path)).await;
        let file = file.map_err(|error| Status::internal(error.to_string()))?;
        // There is room: nothing was sent before.
        let _ = send.try_send(Ok(part(wire::data_part::Part::File(file))));
        return Ok(ReceiverStream::new(parts));
    }
    let Some(turn) = reader.turn().await else {
        return Err(Status::resource_exhausted(format!(
            "{} reads as many data files as it may at once: ask again in a few seconds",
            places.host
        )));
    };
    let gone = send.clone();
    let watch = reader.watch(&request, move || gone.is_closed());
    tasks::in_background(move || {
        let _turn = turn;
        let one = |next| send.blocking_send(Ok(part(next))).map_err(|_| Refused::Gone);
        if let Err(refused) = data::answer(&places, &request, watch, one) {
            // A caller that is gone hears nothing.
            let _ = send.blocking_send(Err(status(&refused)));
        }
    });
    Ok(ReceiverStream::new(parts))
}

fn status(refused: &Refused) -> Status {
    let words = refused.to_string();
    match refused {
        Refused::Asked(_) => Status::invalid_argument(words),
        Refused::Place(problem) if problem.cause == longhaul_proto::state::Cause::Forbidden => {
            Status::permission_denied(words)
        }
        Refused::Place(_) | Refused::File(_) | Refused::TimeUp(_) => Status::failed_precondition(words),
        Refused::Gone => Status::cancelled(words),
    }
}
