//! `completion/complete`: how an argument of a prompt, or the id in a resource's URI, may go on.

use rmcp::{
    ErrorData, RoleServer,
    model::{CompleteRequestParams, CompleteResult, CompletionInfo, Reference},
    service::RequestContext,
};

use super::{
    call::Caller,
    guarded,
    prompts::{self, Meaning},
    resources,
};
use crate::{frontend::Frontend, runs::ListFilter};

/// Runs whose ids are offered.
const NEWEST: u32 = 100;

/// Answers the request with what its caller may see.
pub(super) async fn complete(
    frontend: &Frontend,
    request: &CompleteRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CompleteResult, ErrorData> {
    let answer = async {
        let caller = Caller::of(frontend, context).map_err(|text| ErrorData::internal_error(text, None))?;
        let (name, prefix) = (&*request.argument.name, &*request.argument.value);
        let all = match &request.r#ref {
            Reference::Prompt(prompt) => {
                let host = request.context.as_ref().and_then(|context| context.get_argument("host"));
                of_prompt(&caller, prompts::meaning(&prompt.name, name)?, prefix, host.map(String::as_str)).await
            }
            Reference::Resource(resource) => {
                if !resources::is_template(&resource.uri) || name != "id" {
                    let text = "no such template: longhaul://runs/{id} and longhaul://runs/{id}/log have an `id`";
                    return Err(ErrorData::invalid_params(text, None));
                }
                run_ids(&caller, prefix).await?
            }
            _ => return Err(ErrorData::invalid_params("only prompts and resource templates are completed", None)),
        };
        let bytes = all.iter().map(String::len).sum();
        caller.told.polled(&format!("completion/complete {name}"), bytes);
        let (total, more) = (u32::try_from(all.len()).ok(), all.len() > CompletionInfo::MAX_VALUES);
        let values = all.into_iter().take(CompletionInfo::MAX_VALUES).collect();
        let info = CompletionInfo::with_pagination(values, total, more);
        info.map(CompleteResult::new).map_err(|text| ErrorData::internal_error(text, None))
    };
    guarded::caught(frontend, "completion/complete", answer).await
}

async fn of_prompt(caller: &Caller, meaning: Meaning, prefix: &str, host: Option<&str>) -> Vec<String> {
    let runs = &caller.frontend.core.runs;
    let names = |all: Vec<String>| {
        let prefix = prefix.to_lowercase();
        all.into_iter().filter(|name| name.to_lowercase().starts_with(&prefix)).collect()
    };
    match meaning {
        Meaning::Words => Vec::new(),
        Meaning::Host => names(runs.hosts(&caller.who).await.hosts.into_iter().map(|host| host.name).collect()),
        Meaning::Pool => names(runs.hosts(&caller.who).await.pools.into_iter().map(|pool| pool.name).collect()),
        Meaning::DoFile => caller.paths(host, prefix, ".do").await,
        Meaning::DataSet => caller.paths(host, prefix, ".dta").await,
    }
}

/// The newest runs whose id begins so, short ids for short beginnings.
async fn run_ids(caller: &Caller, prefix: &str) -> Result<Vec<String>, ErrorData> {
    let filter = ListFilter { limit: NEWEST, ..ListFilter::default() };
    let page = caller.runs(filter).await;
    let page = page.map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
    let prefix = prefix.to_lowercase();
    let id =
        |run: longhaul_proto::ids::RunId| [run.short(), run.to_string()].into_iter().find(|id| id.starts_with(&prefix));
    Ok(page.runs.iter().filter_map(|view| id(view.run)).collect())
}
