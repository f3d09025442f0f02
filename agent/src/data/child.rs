//! The reader as a process of its own, which a gateway starts for a data file that it keeps itself.
//!
//! The file is the standard input, so that it has no name to be swapped, and is read where it is needed. The parts of the
//! answer go to the standard output, each with its length before it; what is wrong is said on standard error, and the exit
//! status tells whether the request or the file is at fault.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use longhaul_proto::{clock::Clock, wire};
use prost::Message;
use rustix::process::{Resource, Rlimit, setrlimit};

use super::{DataReader, Refused, find::Found, read};

/// Of memory, bytes.
const MEMORY: u64 = 1 << 30;
/// Exit status when the request cannot be meant; any other than 0 is of the file.
const ASKED: u8 = 2;

/// Answers a request, an encoded `DataRequest`, about the file on the standard input.
pub fn main(request: Option<Vec<u8>>) -> ExitCode {
    let limit = |resource, most| setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
    // Where a limit cannot be set, the parent's patience is one.
    let _ = limit(Resource::As, MEMORY);
    let _ = limit(Resource::Core, 0);
    let _ = limit(Resource::Fsize, 0);
    let Some(request) = request.and_then(|bytes| wire::DataRequest::decode(bytes.as_slice()).ok()) else {
        let _ = writeln!(io::stderr(), "this is for the gateway's own use");
        return ExitCode::FAILURE;
    };
    match answer(&request) {
        Ok(()) => ExitCode::SUCCESS,
        Err(refused) => {
            let _ = writeln!(io::stderr(), "{refused}");
            if matches!(refused, Refused::Asked(_)) { ExitCode::from(ASKED) } else { ExitCode::FAILURE }
        }
    }
}

fn answer(request: &wire::DataRequest) -> Result<(), Refused> {
    let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let bytes = file.metadata()?.len();
    let found = Found { file, path: request.path.clone().into(), bytes, modified_ms: 0 };
    let watch = DataReader::new(Clock::system()).watch(request, || false);
    let mut to = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    read(found, &request.path, request, watch, |part| {
        let bytes = wire::DataPart { part: Some(part) }.encode_length_delimited_to_vec();
        // A gateway that is gone wants nothing.
        to.write_all(&bytes).map_err(|_| Refused::Gone)
    })
}
