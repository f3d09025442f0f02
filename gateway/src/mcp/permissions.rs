//! Which scopes a tool, or another method of MCP, needs. What names a run is also checked where that is found.

use rmcp::{ErrorData, RoleServer, service::RequestContext};

use super::tools;
use crate::{
    model::{Identity, Permission},
    problem::scope_missing,
};

/// What a tool needs: all of these. `None` = there is no such tool, or it has no row.
pub fn of_tool(name: &str) -> Option<&'static [Permission]> {
    Some(match name {
        // They answer with the end of a run.
        "stata_run_file" | "stata_run_selection" => &[Permission::SUBMIT, Permission::READ],
        "stata_submit" | "stata_data" => &[Permission::SUBMIT],
        "stata_wait" | "stata_runs" | "stata_log" | "stata_graph" | "stata_files" | "stata_results" => {
            &[Permission::READ]
        }
        "stata_cancel" => &[Permission::CANCEL],
        "stata_help" | "stata_hosts" => &[Permission::Token],
        _ => return None,
    })
}

/// What a method other than `tools/call` needs.
pub fn of_method(method: &str) -> Option<Permission> {
    Some(match method {
        "resources/list" | "resources/read" | "tasks/get" => Permission::READ,
        "tasks/update" | "tasks/cancel" => Permission::CANCEL,
        // Answers with nothing that the scopes hide, or with what everybody is told.
        "completion/complete"
        | "resources/templates/list"
        | "tools/list"
        | "prompts/list"
        | "prompts/get"
        | "initialize"
        | "server/discover"
        | "ping" => Permission::Token,
        _ => return None,
    })
}

/// The names of all tools.
pub fn tool_names() -> Vec<&'static str> {
    tools::TOOLS.iter().map(|tool| tool.name).collect()
}

/// Refuses a call of a tool that the caller's token does not permit, in words for the model.
pub(super) fn check_tool(name: &str, who: &Identity) -> Result<(), String> {
    let Some(needs) = of_tool(name) else {
        tracing::error!(name, "a tool has no row in the table of what tools need");
        return Err("the gateway does not know what this tool needs; this is its own fault, see its log".to_owned());
    };
    match needs.iter().find(|needs| !needs.met_by(who.scopes)) {
        None => Ok(()),
        Some(&needs) => Err(scope_missing(&needs.words(), &who.scopes.to_string())),
    }
}

/// Refuses another method that the caller's token does not permit.
pub(super) fn check_method(method: &str, context: &RequestContext<RoleServer>) -> Result<(), ErrorData> {
    let parts = context.extensions.get::<http::request::Parts>();
    let who = parts.and_then(|parts| parts.extensions.get::<Identity>());
    match (of_method(method), who) {
        (Some(needs), Some(who)) if needs.met_by(who.scopes) => Ok(()),
        (Some(needs), Some(who)) => {
            Err(ErrorData::invalid_request(scope_missing(&needs.words(), &who.scopes.to_string()), None))
        }
        _ => Err(ErrorData::internal_error("the gateway does not know who asks, or what that needs", None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_row() {
        for name in tool_names() {
            assert!(of_tool(name).is_some_and(|needs| !needs.is_empty()), "{name}");
        }
        assert_eq!(of_tool("stata_nothing"), None);
    }
}
