//! The trace that a run continues, as its record has it.

use longhaul_proto::{ids::Ids, wire};

use crate::{
    model::{Need, Record, TRACE_STATE},
    runs::new_record::new_record,
};

fn of_caller(traceparent: &str, tracestate: &str) -> Record {
    let trace = wire::TraceContext { traceparent: traceparent.into(), tracestate: tracestate.into() };
    let submission = wire::Submission { trace: Some(trace), ..Default::default() };
    new_record(Ids::system().run(), &submission, "text".into(), Need::default(), "")
}

#[test]
fn a_record_has_the_whole_context_of_its_trace_unless_it_is_too_long() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let long = "a".repeat(TRACE_STATE);
    for (state, kept) in [("vendor=1", "vendor=1"), ("", ""), (&long, &long), (&(long.clone() + "b"), "")] {
        let asked = of_caller(parent, state).detail.asked;
        assert_eq!((asked.traceparent.as_str(), asked.tracestate.as_str()), (parent, kept));
    }
}
