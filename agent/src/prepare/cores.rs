//! How many cores a run's Stata is told to use at most.

use longhaul_proto::faults;

use super::{Engine, Printed};

/// The least of what the agent allows, the request asks for and the licence has; `None` = nothing is said, since no limit
/// is set or the engine uses one core anyway. Of the editions only MP has `set processors`; the stand-in takes it too.
pub(super) fn most(allowed: Option<u32>, asked: u32, engine: &Engine, printed: &Printed) -> Option<u32> {
    let asked = Some(asked).filter(|asked| *asked > 0);
    let limit = [allowed, asked].into_iter().flatten().min()?;
    let edition = if printed.edition.is_empty() { &engine.edition } else { &printed.edition };
    if !(engine.is_standin() || edition == "mp") || faults::bug("cores_unlimited") {
        return None;
    }
    let licensed = printed.cores.or(printed.told_cores);
    Some(licensed.map_or(limit, |licensed| limit.min(licensed)).max(1))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::prepare::Choice;

    #[test]
    fn the_least_of_all_limits_counts_where_there_are_cores() {
        let standin = Engine::find(Choice::Standin, None, Path::new("/bin/true")).unwrap();
        let stata = |edition: &str| Engine {
            kind: super::super::EngineKind::Stata,
            edition: edition.to_owned(),
            ..standin.clone()
        };
        let licensed = |edition: &str, cores| Printed { edition: edition.into(), cores, ..Printed::default() };
        let none = Printed::default();
        let check = |allowed, asked, engine: &Engine, printed: &Printed, want| {
            assert_eq!(most(allowed, asked, engine, printed), want, "{allowed:?} {asked} {engine:?} {printed:?}");
        };
        check(None, 0, &stata("mp"), &none, None);
        check(None, 3, &stata("mp"), &none, Some(3));
        check(Some(2), 0, &stata("mp"), &none, Some(2));
        check(Some(2), 8, &stata("mp"), &none, Some(2));
        check(Some(8), 3, &stata("mp"), &none, Some(3));
        check(Some(8), 0, &stata("mp"), &licensed("mp", Some(4)), Some(4));
        check(Some(8), 0, &stata(""), &licensed("mp", Some(4)), Some(4));
        let told = |cores| Printed { told_cores: Some(8), ..licensed("mp", cores) };
        check(None, 10, &stata("mp"), &told(None), Some(8));
        check(None, 10, &stata("mp"), &told(Some(4)), Some(4));
        check(Some(2), 0, &stata("mp"), &licensed("se", None), None);
        check(Some(2), 0, &stata("se"), &none, None);
        check(Some(2), 0, &stata(""), &none, None);
        check(None, 5, &standin, &none, Some(5));
    }
}
