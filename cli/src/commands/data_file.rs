//! `data`: what is in a data file on a host.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use longhaul_proto::{
    api::{DataRoom, DataView},
    faults,
};
use reqwest::Response;

use crate::{
    args::{Data, DataActionArg},
    client::Client,
    context::{Context, Failure},
    gateway_handle::{GatewayHandle, Need},
    output::{self, Out, say},
};

/// Characters of a row where it is not shown on a terminal, and of a cell.
const WIDTH: usize = 10_000;
const CELL: usize = 80;

/// `data`.
///
/// # Errors
/// With what to do.
pub(crate) async fn data(context: &Context, args: &Data) -> Result<u8, Failure> {
    let gateway = GatewayHandle::open(context, Need::default()).await?;
    let done = answer(&gateway.client, args).await;
    gateway.close().await;
    done.map(|()| 0)
}

async fn answer(client: &Client, args: &Data) -> Result<(), Failure> {
    let exports = args.csv || args.parquet;
    if args.output.is_some() && !exports {
        return Err(Failure::usage("-o is where CSV or Parquet goes: pass --csv or --parquet too"));
    }
    let there = args.output.as_ref().filter(|path| !args.force && path.symlink_metadata().is_ok());
    if let Some(path) = there.filter(|_| !faults::bug("data_overwrites")) {
        return Err(Failure::usage(format!("{} is there already: name another file, or pass --force", path.display())));
    }
    if exports && args.action.is_some_and(|action| action != DataActionArg::Rows) {
        return Err(Failure::usage("CSV and Parquet are of the observations: leave the action out, or say `rows`"));
    }
    let mut query = vec![("path", args.file.clone()), ("vars", args.variables())];
    let here = in_this_folder(args);
    let given = query[0].1.clone();
    query[0].1 = here.clone().unwrap_or_else(|| given.clone());
    query.push((
        "action",
        if exports { "rows" } else { args.action.map_or("describe", DataActionArg::as_str) }.to_owned(),
    ));
    query.extend(args.condition.clone().map(|condition| ("if", condition)));
    query.extend(args.range.clone().map(|range| ("in", range)));
    query.extend(args.host.clone().map(|host| ("host", host)));
    query.extend(args.run.clone().map(|run| ("run", run)));
    query.extend(args.limit.map(|limit| ("limit", limit.to_string())));
    if args.no_labels {
        query.push(("labels", "false".to_owned()));
    }
    if exports {
        query.push(("format", if args.parquet { "parquet" } else { "csv" }.to_owned()));
        let response = match client.data_file(&query).await {
            Err(error) if here.is_some() => {
                query[0].1 = given;
                client.data_file(&query).await.map_err(|_| error)?
            }
            answer => answer?,
        };
        return match &args.output {
            Some(path) => write(response, path).await,
            None => print(response).await,
        };
    }
    let view = match client.data(&query).await {
        Err(error) if here.is_some() => {
            query[0].1 = given;
            client.data(&query).await.map_err(|_| error)?
        }
        answer => answer?,
    };
    if args.ask.json {
        Out::default().json(&view)?;
        return Ok(());
    }
    Out::default().painted(|width, _| shown(&view, width))?;
    Ok(())
}

/// A file that is meant by a name in the current folder, as an absolute path: its host may have it there too. If not, the
/// name may still be meant below a folder of its agent.
fn in_this_folder(args: &Data) -> Option<String> {
    let named = Path::new(&args.file);
    if named.is_absolute() || args.run.is_some() {
        return None;
    }
    let with_dta = format!("{}.dta", args.file);
    let there = [named, Path::new(&with_dta)].into_iter().find(|path| path.is_file())?;
    fs::canonicalize(there).ok()?.to_str().map(str::to_owned)
}

/// For people: the file, the table, and what is to be said of it.
fn shown(view: &DataView, width: Option<usize>) -> String {
    let room = DataRoom { width: width.unwrap_or(WIDTH), bytes: usize::MAX, cell: CELL };
    let table = view.text(room);
    let mut text = format!("{}\n\n{}", view.head(), table.text);
    if table.columns < view.columns.len() {
        let left = view.columns.len() - table.columns;
        text.push_str(&format!("\n{left} more columns do not fit into this terminal: name variables, or use --csv\n"));
    }
    for note in &view.notes {
        text.push_str(&format!("\n{note}\n"));
    }
    output::shown(&text).into_owned()
}

async fn next(response: &mut Response) -> Result<Option<Vec<u8>>, Failure> {
    let chunk = response.chunk().await.map_err(|_| {
        Failure::system(
            "the file broke off before its end: its host or the gateway gave up; ask again, or name fewer observations with \
             --in",
        )
    })?;
    Ok(chunk.map(Vec::from))
}

async fn print(mut response: Response) -> Result<(), Failure> {
    let mut out = Out::default();
    while let Some(chunk) = next(&mut response).await? {
        out.bytes(&chunk)?;
    }
    Ok(())
}

/// Writes the whole file, or nothing of that name.
async fn write(mut response: Response, path: &Path) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::system(format!("cannot write {}: {error}", path.display()));
    let mut name = path.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    let mut file = File::create(part).map_err(failed)?;
    let copied = async {
        let mut bytes = 0;
        while let Some(chunk) = next(&mut response).await? {
            file.write_all(&chunk).map_err(failed)?;
            bytes += chunk.len() as u64;
        }
        Ok(bytes)
    };
    let copied: Result<u64, Failure> = copied.await;
    match copied {
        Ok(bytes) => {
            fs::rename(part, path).map_err(failed)?;
            say(&format!("{} written into {}", output::bytes(bytes), path.display()));
            Ok(())
        }
        Err(failure) => {
            // What is there is not the file.
            let _ = fs::remove_file(part);
            Err(failure)
        }
    }
}
